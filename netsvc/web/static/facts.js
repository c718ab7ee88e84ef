/** Facts in words: what the timeline and the detail of one say about them. */

import { duration, place, size } from "./format.js";
import { shown } from "./text.js";

/** What every fact has; whatever else is in one, a plugin's own or TLS's, is shown as it is. */
const COMMON = new Set([
  "seq", "time", "kind", "service", "listener", "transport", "address", "port", "local", "connection", "name",
  "length", "data", "reason", "bytes_in", "bytes_out", "duration",
]);

/** Which way it went, beside the kind's name. */
export const SIGNS = { opened: "○", received: "→", sent: "←", closed: "●", refused: "✕" };

/** Whose it is: the client's name if it has one, else its address. */
export function peerOf(fact) {
  return shown(fact.name ?? addressOf(fact));
}

/** The client's address and port. */
export function addressOf(fact) {
  return shown(place(fact.address, fact.port));
}

/** What a fact without data tells, in one line. */
export function storyOf(fact) {
  const parts = fact.kind === "opened" ? [`to ${fact.listener}`] : [];
  if (fact.reason) parts.push(shown(fact.reason));
  if (fact.bytes_in !== undefined) parts.push(`${size(fact.bytes_in)} in, ${size(fact.bytes_out)} out`);
  if (fact.duration !== undefined) parts.push(`after ${duration(fact.duration)}`);
  for (const [key, value] of furtherOf(fact)) parts.push(`${key} ${value}`);
  return parts.join(" · ");
}

/**
 * What else a fact knows, such as what TLS and the PROXY header said.
 *
 * @returns {[string, string][]}
 */
export function furtherOf(fact) {
  return Object.entries(fact)
    .filter(([key, value]) => !COMMON.has(key) && value !== null)
    .map(([key, value]) => [shown(key), shown(typeof value === "string" ? value : plain(value))]);
}

function plain(value) {
  if (typeof value !== "object" || value === null) return String(value);
  return Object.entries(value)
    .filter(([, one]) => one !== null)
    .map(([key, one]) => `${key} ${plain(one)}`)
    .join(", ");
}
