/** Lines to paste into a terminal. */

import { copyButton } from "./copy.js";
import { element } from "./dom.js";

/** A line to paste, with its button. */
export function lineOf({ program, line }) {
  return element(
    "li",
    {},
    element("span", { class: "program" }, program),
    element("code", {}, line),
    copyButton("Copy", () => line, { "aria-label": `Copy the line for ${program}` }),
  );
}
