/** How the page is connected to the daemon: a word in its head that says so, and when that changes. */

import { byId, setText } from "./dom.js";

const WORDS = {
  connecting: "Connecting…",
  live: "Live",
  polling: "Live, by polling",
  lost: "Connection lost, trying again…",
  refused: "Refused",
  invalid: "Filter not understood",
  closed: "Not connected",
};

const TITLE = document.title;

/**
 * Show how it goes.
 *
 * @param {"connecting"|"live"|"polling"|"lost"|"refused"|"invalid"|"closed"} state
 * @param {string} text more about it, in the daemon's words.
 */
export function showState(state, text = "") {
  const target = byId("state");
  if (target.dataset.state !== state) target.dataset.state = state;
  setText(target, text ? `${WORDS[state]}: ${text}` : WORDS[state]);
  document.title = state === "lost" || state === "refused" ? `(${WORDS[state].toLowerCase()}) ${TITLE}` : TITLE;
}
