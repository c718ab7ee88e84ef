/** Numbers, times, sizes and addresses as a person reads them. */

const NUMBER = new Intl.NumberFormat("en");
const TENTHS = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const UNITS = ["B", "kB", "MB", "GB", "TB"];

/** A whole number with its thousands apart. */
export function count(value) {
  return NUMBER.format(value);
}

/** How many a second, with a digit more where they are few. */
export function rate(value) {
  return value < 10 ? TENTHS.format(value) : NUMBER.format(Math.round(value));
}

/** Bytes in the unit that keeps them short; 1 kB is 1000. */
export function size(bytes) {
  let unit = 0;
  let value = bytes;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit ? TENTHS.format(value) : NUMBER.format(value)} ${UNITS[unit]}`;
}

/** Seconds as the two units that matter. */
export function duration(seconds) {
  if (seconds < 1) return `${TENTHS.format(seconds * 1000)} ms`;
  if (seconds < 60) return `${TENTHS.format(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/**
 * The local time of day, to the millisecond.
 *
 * @param {string} nanoseconds since the epoch.
 */
export function clock(nanoseconds) {
  const date = new Date(millis(nanoseconds));
  const part = (value, digits = 2) => String(value).padStart(digits, "0");
  const hours = `${part(date.getHours())}:${part(date.getMinutes())}:${part(date.getSeconds())}`;
  return `${hours}.${part(date.getMilliseconds(), 3)}`;
}

/**
 * Date and time in UTC with all digits that there are (RFC 3339).
 *
 * @param {string} nanoseconds since the epoch.
 */
export function instant(nanoseconds) {
  const seconds = new Date(millis(nanoseconds)).toISOString().slice(0, 19);
  return `${seconds}.${nanoseconds.slice(-9)}Z`;
}

/** Milliseconds of nanoseconds that are too many for a number. */
export function millis(nanoseconds) {
  return Number(nanoseconds.slice(0, -6));
}

/** A peer's address and port as they are written; a UNIX socket's client often has neither. */
export function place(address, port) {
  if (port === null || port === undefined) return address || "unnamed";
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
