/** Numbers, times, sizes and addresses as a person reads them. */

const NUMBER = new Intl.NumberFormat("en");
const TENTHS = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });
const UNITS = ["B", "kB", "MB", "GB", "TB"];

/** A whole number with its thousands apart. */
export function count(value) {
  return NUMBER.format(value);
}

/** A whole number of things. */
export function counted(value, thing) {
  return `${count(value)} ${thing}${value === 1 ? "" : "s"}`;
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
 * Date and time, local as the clock is, with all digits that there are (RFC 3339).
 *
 * @param {string} nanoseconds since the epoch.
 */
export function instant(nanoseconds) {
  const at = millis(nanoseconds);
  const ahead = -new Date(at).getTimezoneOffset();
  const seconds = new Date(at + ahead * 60_000).toISOString().slice(0, 19);
  const offset = [Math.floor(Math.abs(ahead) / 60), Math.abs(ahead) % 60].map((part) => String(part).padStart(2, "0"));
  return `${seconds}.${nanoseconds.slice(-9)}${ahead ? (ahead > 0 ? "+" : "-") + offset.join(":") : "Z"}`;
}

/**
 * The local date where it is not today's, else nothing.
 *
 * @param {string} nanoseconds since the epoch.
 */
export function otherDay(nanoseconds) {
  const day = DAY.format(millis(nanoseconds));
  return day === DAY.format(Date.now()) ? "" : day;
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
