/**
 * What peers sent, as text that can be shown: control characters and what would reorder or hide the text around it
 * become visible signs.
 */

/** Characters that have no sign of their own, or move, join or hide those beside them. */
const INVISIBLE = new RegExp(
  [
    "[\\u0080-\\u009f]", // C1 controls
    "[\\u00ad\\u034f\\u180b-\\u180f\\u2060-\\u206f\\ufeff]", // hyphens, joiners, isolates, byte order mark
    "[\\u061c\\u200b\\u200e\\u200f\\u202a-\\u202e]", // zero width, direction
    "[\\u2028\\u2029]", // ends of lines and paragraphs
    "[\\u115f\\u1160\\u17b4\\u17b5\\u3164\\uffa0]", // fillers
    "[\\ufff0-\\ufffb]|[\\u{e0000}-\\u{e0fff}]", // specials, tags
  ].join("|"),
  "gu",
);

/** C0 controls and DEL. Unicode has a picture of each, but many machines have no font with them. */
const CONTROLS = /[\u0000-\u001f\u007f]/g;
const SIGNS = { "\n": "↵", "\r": "⇤", "\t": "⇥" };

/** What stands where bytes are no UTF-8, or a character has no sign. */
export const UNKNOWN = "\ufffd";

/**
 * A peer's text as it can be shown in one line.
 *
 * @param {string} text
 * @returns {string} of as many signs: ends of lines and tabs have their own, other controls are dots.
 */
export function shown(text) {
  return text.replace(CONTROLS, (control) => SIGNS[control] ?? "·").replace(INVISIBLE, UNKNOWN);
}
