/** The listeners: where to connect, what comes and goes there, and lines to paste into a terminal. */

import { askJSON } from "./api.js";
import { button, byId, element, setText } from "./dom.js";
import { count, counted, rate, size } from "./format.js";
import { lineOf } from "./lines.js";
import { follow } from "./list.js";
import { Plot } from "./plot.js";

export class Listeners {
  #list = byId("listeners");
  #filter;

  /** @param {(values: Object) => void} filter shows the facts of one. */
  constructor(filter) {
    this.#filter = filter;
  }

  /**
   * Show them as they are now.
   *
   * @returns {Promise<Object>} what the daemon said.
   */
  async refresh() {
    const answer = await askJSON("/api/listeners");
    setText(byId("listeners-count"), count(answer.listeners.length));
    follow(this.#list, answer.listeners, keyOf, (listener) => this.#make(listener));
    return answer;
  }

  #make(listener) {
    const plot = new Plot();
    const parts = Object.fromEntries(["service", "url", "rate", "open", "trouble", "totals"].map(spanOf));
    const lines = element("ul", { class: "lines" });
    const only = button("Show its facts", () => this.#filter({ service: listener.service }));
    const panel = element("div", { class: "panel", hidden: true }, parts.totals, lines, only);
    const node = element(
      "li",
      {},
      element("div", { class: "head" }, parts.service, parts.url),
      element("div", { class: "counters" }, parts.rate, parts.open, parts.trouble),
      plot.node,
      disclosing(panel, listener),
      panel,
    );
    const rates = new Rates();
    let written = "";
    const update = (now) => {
      const [inwards, outwards] = rates.of(now);
      if (inwards !== null) plot.add(inwards + outwards);
      show(parts, now, inwards ?? 0, outwards ?? 0);
      if (written !== JSON.stringify(now.lines)) {
        written = JSON.stringify(now.lines);
        lines.replaceChildren(...now.lines.map(lineOf));
      }
    };
    return { node, update };
  }
}

/** A button that shows and hides what belongs to a listener. */
function disclosing(panel, { service, listener }) {
  const made = button(
    "Connect",
    () => {
      panel.hidden = !panel.hidden;
      made.setAttribute("aria-expanded", String(!panel.hidden));
    },
    { "aria-expanded": "false", "aria-label": `Connect to ${service} at ${listener}` },
  );
  return made;
}

/** Messages a second, from one look at the counters to the next. */
class Rates {
  #at = null;
  #before = null;

  /** @returns {[number|null, number|null]} in and out; null at the first look. */
  of({ messages_in: inwards, messages_out: outwards }) {
    const now = performance.now();
    const before = this.#before;
    const seconds = (now - this.#at) / 1000;
    this.#at = now;
    this.#before = { inwards, outwards };
    if (before === null) return [null, null];
    // A daemon that began anew counts from 0.
    return [rise(before.inwards, inwards) / seconds, rise(before.outwards, outwards) / seconds];
  }
}

function show(parts, listener, inwards, outwards) {
  setText(parts.service, listener.service);
  setText(parts.url, listener.listener);
  setText(parts.rate, `${rate(inwards)}/s in, ${rate(outwards)}/s out`);
  const datagrams = listener.max_connections === null;
  setText(parts.open, datagrams ? "" : `${count(listener.open)} open`);
  setText(parts.totals, totalsOf(listener) + (datagrams ? "" : `; ${connectionsOf(listener)}`));
  setText(parts.trouble, troubleOf(listener));
}

function totalsOf({ messages_in: inwards, bytes_in: bytesIn, messages_out: outwards, bytes_out: bytesOut }) {
  return `${counted(inwards, "message")} in (${size(bytesIn)}), ${count(outwards)} out (${size(bytesOut)})`;
}

function connectionsOf({ opened, max_connections: most }) {
  return `${counted(opened, "connection")} so far, at most ${count(most)} at once`;
}

function troubleOf({ refused, dropped }) {
  const parts = Object.entries(refused).map(([reason, times]) => `${count(times)} refused: ${reason}`);
  if (dropped) parts.push(`${count(dropped)} dropped by the system`);
  return parts.join(", ");
}

function keyOf({ service, listener }) {
  return `${service} ${listener}`;
}

function rise(before, now) {
  return now >= before ? now - before : now;
}

function spanOf(name) {
  return [name, element("span", { class: name })];
}
