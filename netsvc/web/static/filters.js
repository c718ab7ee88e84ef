/**
 * Which facts are shown: a form, and the same in the address of the page, so that it can be kept and sent on.
 */

import { byId, complain, element, setText } from "./dom.js";
import { fieldOf, instantOf } from "./moment.js";

/** Milliseconds after the last key. */
const PAUSE = 350;

/** The form's fields, as the API calls them. */
const FIELDS = ["service", "peer", "name", "connection", "kind", "contains", "since", "until"];
const MOMENTS = new Set(["since", "until"]);

/** Values that are offered for a field. */
const OFFERED = 100;

export class Filters {
  #form = byId("filters");
  #error = byId("filters-error");
  #toggle = byId("filters-toggle");
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
    this.#toggle.addEventListener("click", () => this.#open(!this.#form.classList.contains("open")));
  }

  /** Show what the page's address says. */
  begin() {
    this.#fill(new URLSearchParams(location.hash.slice(1)));
    this.#show(this.query());
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
      else if (value) query.append(field, this.#asked(field, value));
    }
    return query;
  }

  /** Whether nothing that comes can fit, for the time range has ended. */
  get over() {
    const until = this.#form.elements.until.value;
    return until !== "" && new Date(until) <= new Date();
  }

  /** Say what is wrong with the filter, in the daemon's words; with an empty text, nothing is. */
  complain(text) {
    for (const field of FIELDS) this.#form.elements[field].removeAttribute("aria-invalid");
    const [, key, expected] = /^(\w+)=.*: (expected .*)$/s.exec(text) ?? [];
    const field = FIELDS.includes(key) ? this.#form.elements[key] : null;
    field?.setAttribute("aria-invalid", "true");
    // The page calls a field otherwise than the API does.
    if (text) this.#open(true);
    complain(field ? `${field.labels[0].firstChild.textContent.trim()}: ${expected}` : text, this.#error);
  }

  /** Offer values for a field. */
  offer(field, values) {
    const list = byId(`${field}-values`);
    const wanted = [...new Set(values)].slice(0, OFFERED);
    if (wanted.join("\n") === [...list.children].map((option) => option.value).join("\n")) return;
    list.replaceChildren(...wanted.map((value) => element("option", { value })));
  }

  /** On a narrow screen the form is only there while somebody wants it. */
  #open(open) {
    this.#form.classList.toggle("open", open);
    this.#toggle.setAttribute("aria-expanded", String(open));
  }

  #asked(field, value) {
    if (MOMENTS.has(field)) return instantOf(value);
    // Blanks may be what is sought.
    return field === "contains" ? this.#form.elements[field].value : value;
  }

  #applySoon(milliseconds) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#apply(), milliseconds);
  }

  #apply() {
    clearTimeout(this.#timer);
    const query = this.query();
    if (String(query) === this.#shown) return;
    history.replaceState(null, "", `#${query}`);
    this.complain("");
    this.#show(query);
  }

  #show(query) {
    this.#shown = String(query);
    setText(this.#toggle, this.active ? "Filter (on)" : "Filter");
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
    for (const field of FIELDS) {
      const value = values.get(field) ?? "";
      this.#form.elements[field].value = MOMENTS.has(field) ? fieldOf(value) : value;
    }
    if (kinds.includes("received") && kinds.includes("sent")) this.#form.elements.kind.value = "messages";
  }
}
