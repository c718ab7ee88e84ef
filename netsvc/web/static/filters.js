/**
 * Which facts are shown: a form, and the same in the address of the page, so that it can be kept and sent on.
 */

import { byId, element, setText } from "./dom.js";

/** Milliseconds after the last key. */
const PAUSE = 350;

/** The form's fields, as the API calls them. */
const FIELDS = ["service", "peer", "name", "connection", "kind", "contains"];

/** Values that are offered for a field. */
const OFFERED = 100;

export class Filters {
  #form = byId("filters");
  #error = byId("filters-error");
  #changed;
  #timer = null;
  #shown = "";

  /** @param {(filter: URLSearchParams) => void} changed given the filter when it is another. */
  constructor(changed) {
    this.#changed = changed;
    this.#form.addEventListener("input", () => this.#applySoon(PAUSE));
    this.#form.addEventListener("submit", (event) => (event.preventDefault(), this.#apply()));
    byId("filters-clear").addEventListener("click", () => this.set({}));
    addEventListener("hashchange", () => this.#read());
  }

  /** Show what the page's address says. */
  begin() {
    this.#fill(new URLSearchParams(location.hash.slice(1)));
    this.#shown = String(this.query());
    this.#changed(this.query());
  }

  /**
   * Show other facts.
   *
   * @param {Object} values by field; those that are not named are emptied.
   */
  set(values) {
    this.#fill(new URLSearchParams(values));
    this.#apply();
  }

  /** Whether only some facts are shown. */
  get active() {
    return String(this.query()) !== "";
  }

  /** The filter as the API has it. */
  query() {
    const query = new URLSearchParams();
    for (const field of FIELDS) {
      const value = this.#form.elements[field].value.trim();
      if (field === "kind" && value === "messages") for (const kind of ["received", "sent"]) query.append(field, kind);
      else if (value) query.append(field, field === "contains" ? this.#form.elements[field].value : value);
    }
    return query;
  }

  /** Say what is wrong with the filter; nothing is. */
  complain(text) {
    setText(this.#error, text);
    this.#error.hidden = !text;
  }

  /** Offer values for a field. */
  offer(field, values) {
    const list = byId(`${field}-values`);
    const wanted = [...new Set(values)].slice(0, OFFERED);
    if (wanted.join("\n") === [...list.children].map((option) => option.value).join("\n")) return;
    list.replaceChildren(...wanted.map((value) => element("option", { value })));
  }

  #applySoon(milliseconds) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#apply(), milliseconds);
  }

  #apply() {
    clearTimeout(this.#timer);
    const query = this.query();
    if (String(query) === this.#shown) return;
    this.#shown = String(query);
    history.replaceState(null, "", `#${query}`);
    this.complain("");
    this.#changed(query);
  }

  #read() {
    // A link to a part of the page is no filter.
    if (location.hash && !location.hash.includes("=")) return;
    this.#fill(new URLSearchParams(location.hash.slice(1)));
    this.#apply();
  }

  #fill(values) {
    const kinds = values.getAll("kind");
    for (const field of FIELDS) this.#form.elements[field].value = values.get(field) ?? "";
    if (kinds.length > 1) this.#form.elements.kind.value = "messages";
  }
}
