/** Bytes as a person reads them: text beside hex. */

import { shown } from "./text.js";

const UTF8 = new TextDecoder("utf-8", { ignoreBOM: true });
const DIGITS = Array.from({ length: 256 }, (_, value) => value.toString(16).padStart(2, "0"));

/** Bytes of a dump's line. */
const WIDTH = 16;

/**
 * The bytes of a fact's data.
 *
 * @param {string|null} base64
 * @returns {Uint8Array}
 */
export function bytesOf(base64) {
  return Uint8Array.from(atob(base64 ?? ""), (character) => character.charCodeAt(0));
}

/** Bytes as UTF-8 text that can be shown; what is none is �. */
export function textOf(bytes) {
  return shown(UTF8.decode(bytes));
}

/** Bytes as hex, two digits each and a space between them. */
export function hexOf(bytes) {
  return Array.from(bytes, (byte) => DIGITS[byte]).join(" ");
}

/**
 * Bytes line by line: offset, hex, and each byte as ASCII or a dot.
 *
 * @param {Uint8Array} bytes
 * @returns {string}
 */
export function dump(bytes) {
  const lines = [];
  for (let at = 0; at < bytes.length; at += WIDTH) {
    const part = bytes.subarray(at, at + WIDTH);
    const hex = `${hexOf(part.subarray(0, 8))}  ${hexOf(part.subarray(8))}`.padEnd(WIDTH * 3);
    const ascii = String.fromCharCode(...part.map((byte) => (byte >= 0x20 && byte < 0x7f ? byte : 0x2e)));
    lines.push(`${at.toString(16).padStart(4, "0")}  ${hex}  ${ascii}`);
  }
  return lines.join("\n");
}

/**
 * Bytes from hex as a person types it, with spaces or colons or without.
 *
 * @param {string} text
 * @returns {Uint8Array|null} null where it is no hex.
 */
export function bytesFromHex(text) {
  const digits = text.replace(/0x|[\s:]/gi, "");
  if (digits.length % 2 || /[^0-9a-f]/i.test(digits)) return null;
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}
