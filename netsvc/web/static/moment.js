/**
 * Moments as the timeline's filter has them: local time in its fields, UTC elsewhere, so that a link means the same to
 * everybody.
 */

const UNITS = { s: 1, m: 60, h: 3_600, d: 86_400 };

/**
 * What a link says as a field has it.
 *
 * @param {string|null} text a date and time (ISO 8601), or how long ago it was, such as 15m.
 * @returns {string} for a field of datetime-local; empty where it is neither.
 */
export function fieldOf(text) {
  const span = /^(\d{1,10})([smhd])$/.exec(text ?? "");
  const at = span ? Date.now() - Number(span[1]) * UNITS[span[2]] * 1_000 : Date.parse(text ?? "");
  if (Number.isNaN(at)) return "";
  const date = new Date(at);
  const local = new Date(at - date.getTimezoneOffset() * 60_000);
  return Number.isNaN(local.getTime()) ? "" : local.toISOString().slice(0, 19);
}

/**
 * What a field has as the API reads it.
 *
 * @param {string} value of a field of datetime-local.
 * @returns {string} a time in UTC.
 */
export function instantOf(value) {
  return new Date(value).toISOString().replace(".000Z", "Z");
}
