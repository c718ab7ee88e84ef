/** One fact in full, below the timeline. */

import { button, byId, element, setText } from "./dom.js";
import { copyButton } from "./copy.js";
import { addressOf, furtherOf } from "./facts.js";
import { count, counted, duration, instant, place } from "./format.js";
import { bytesOf, dump, hexOf, textOf } from "./hex.js";
import { shown } from "./text.js";

export class Detail {
  #section = byId("detail");
  #title = byId("detail-title");
  #content = byId("detail-content");
  #filter;
  #origin = null;

  /** @param {(values: Object) => void} filter shows other facts instead. */
  constructor(filter) {
    this.#filter = filter;
    byId("detail-close").addEventListener("click", () => this.close());
    this.#section.addEventListener("keydown", (event) => event.key === "Escape" && this.close());
  }

  /**
   * Show a fact.
   *
   * @param {Object} fact
   * @param {HTMLElement} origin what gets the focus back.
   */
  open(fact, origin) {
    this.#origin?.closest("tr")?.removeAttribute("aria-current");
    this.#origin = origin;
    origin.closest("tr")?.setAttribute("aria-current", "true");
    setText(this.#title, `${fact.kind} · ${fact.service}`);
    this.#content.replaceChildren(this.#actions(fact), known(fact), ...dataOf(fact));
    this.#section.hidden = false;
    this.#section.focus();
  }

  /** Show none. */
  close() {
    if (this.#section.hidden) return;
    this.#section.hidden = true;
    this.#origin?.closest("tr")?.removeAttribute("aria-current");
    if (this.#origin?.isConnected) this.#origin.focus();
    else byId("facts").focus();
    this.#origin = null;
  }

  #actions(fact) {
    const actions = element("div", { class: "actions" });
    const offer = (label, values) => actions.append(button(label, () => this.#filter(values)));
    if (fact.connection !== null) offer(`Follow connection ${fact.connection}`, { connection: fact.connection });
    else if (fact.port) offer(`Follow ${addressOf(fact)}`, { peer: place(fact.address, fact.port) });
    if (fact.address) offer(`Only ${shown(fact.address)}`, { peer: fact.address });
    if (fact.name !== null) offer(`Only ${shown(fact.name)}`, { name: fact.name });
    offer(`Only ${fact.service}`, { service: fact.service });
    return actions;
  }
}

function known(fact) {
  const list = element("dl");
  const add = (term, value) => list.append(element("dt", {}, term), element("dd", {}, element("bdi", {}, value)));
  add("Time", instant(fact.time));
  add("Client", addressOf(fact));
  if (fact.name !== null) add("Name", shown(fact.name));
  add("Reached", `${fact.local} (${fact.listener})`);
  if (fact.length !== null) add("Length", counted(fact.length, "byte"));
  if (fact.reason) add("Reason", shown(fact.reason));
  if (fact.bytes_in !== undefined) add("Bytes", `${count(fact.bytes_in)} in, ${count(fact.bytes_out)} out`);
  if (fact.duration !== undefined) add("Lasted", duration(fact.duration));
  for (const [key, value] of furtherOf(fact)) add(key, value);
  add("Number", String(fact.seq));
  return list;
}

function dataOf(fact) {
  if (fact.data === null) return [];
  const bytes = bytesOf(fact.data);
  const kept = bytes.length < fact.length ? `The first ${count(bytes.length)} of ${count(fact.length)} bytes:` : "";
  return [
    element("p", { class: "note", hidden: !kept }, kept),
    element("pre", { tabindex: 0, role: "region", "aria-label": "Bytes, in hex and as text" }, dump(bytes)),
    element(
      "div",
      { class: "actions" },
      copyButton("Copy text", () => textOf(bytes)),
      copyButton("Copy hex", () => hexOf(bytes)),
    ),
  ];
}
