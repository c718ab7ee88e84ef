/** One fact as a row of the timeline. */

import { element } from "./dom.js";
import { addressOf, peerOf, SIGNS, storyOf } from "./facts.js";
import { clock, count, otherDay } from "./format.js";
import { bytesOf, hexOf, textOf } from "./hex.js";

/** Bytes of a row's text and hex; all of them are in the detail. */
const TEXT = 120;
const HEX = 48;

/** Characters of base64 that hold so many bytes. */
const BASE64 = Math.ceil(TEXT / 3) * 4;

/**
 * Make a row.
 *
 * @param {Object} fact
 * @returns {HTMLElement} with a button, which opens the detail.
 */
export function rowOf(fact) {
  const time = element("button", { type: "button", class: "time", tabindex: -1 }, clock(fact.time));
  const kind = element("span", { class: "kind" }, element("span", { "aria-hidden": "true" }, SIGNS[fact.kind] ?? "·"));
  kind.append(` ${fact.kind}`);
  const day = otherDay(fact.time) || null;
  const row = element(
    "tr",
    { role: "row", class: `fact ${fact.kind in SIGNS ? fact.kind : ""}` },
    cell("when", time, kind, day && element("span", { class: "day" }, day)),
    cell("who", ...whoOf(fact)),
    cell("length", fact.length === null ? "" : count(fact.length)),
  );
  if (fact.data === null) row.append(element("td", { role: "cell", class: "story", colspan: 2 }, storyOf(fact)));
  else row.append(...dataOf(fact));
  return row;
}

/**
 * A row that says something about the rows around it.
 *
 * @param {string} text
 */
export function markOf(text) {
  return element("tr", { role: "row", class: "mark" }, element("td", { role: "cell", colspan: 5 }, text));
}

function whoOf(fact) {
  const address = addressOf(fact);
  const connection = fact.connection === null ? fact.transport : `${fact.transport} #${fact.connection}`;
  return [
    element("span", { class: "service" }, fact.service),
    " ",
    element("span", { class: "connection" }, connection),
    element("bdi", { class: "peer", title: fact.name === null ? null : address }, peerOf(fact)),
  ];
}

function dataOf(fact) {
  const bytes = bytesOf(fact.data.slice(0, BASE64));
  const more = fact.length > bytes.length;
  return [
    cell("text", element("bdi", {}, textOf(bytes) + (more ? "…" : ""))),
    cell("hex", element("span", {}, hexOf(bytes.subarray(0, HEX)) + (fact.length > HEX ? " …" : ""))),
  ];
}

function cell(name, ...children) {
  return element("td", { role: "cell", class: name }, ...children);
}
