/** What is said to those who listen to the page, politely: not before they have heard what is being read to them. */

import { byId } from "./dom.js";

/** Say something. */
export function say(text) {
  const target = byId("announcements");
  // The same words again are said again only if they are new to the page.
  target.textContent = "";
  setTimeout(() => (target.textContent = text), 50);
}
