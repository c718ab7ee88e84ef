/** What an empty timeline says: what to type, so that it is not. */

import { byId } from "./dom.js";
import { lineOf } from "./lines.js";

/** Lines that are shown. */
const SHOWN = 3;

/** Programs whose lines are short and on most machines, best first. */
const PROGRAMS = ["nc", "netsvc", "socat", "Python"];

/**
 * Say what to type.
 *
 * @param {Object[]} listeners as the API has them.
 */
export function suggest(listeners) {
  const seen = new Set();
  const lines = [];
  for (const { service, transport, lines: offered } of listeners) {
    const line = PROGRAMS.map((program) => offered.find((one) => one.program === program)).find(Boolean);
    const key = `${service} ${transport}`;
    if (!line || service === "web" || seen.has(key)) continue;
    seen.add(key);
    lines.push({ ...line, program: `${service} (${transport})` });
  }
  const list = byId("suggestions");
  const text = JSON.stringify(lines.slice(0, SHOWN));
  if (list.dataset.lines === text) return;
  list.dataset.lines = text;
  list.replaceChildren(...lines.slice(0, SHOWN).map(lineOf));
}
