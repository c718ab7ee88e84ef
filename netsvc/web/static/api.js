/** Asking the daemon. */

/** Milliseconds that an answer may take which the daemon gives at once. */
const PATIENCE = 10_000;

/**
 * The daemon answered, and not what was asked for.
 *
 * Its message is the daemon's own line; `status` is that of HTTP.
 */
export class RefusedError extends Error {
  constructor(status, text) {
    super(text);
    this.name = "RefusedError";
    this.status = status;
  }
}

/**
 * Ask for something.
 *
 * @param {string} path with its query.
 * @param {Object} options of fetch; `signal` ends it, `patience` is how many milliseconds the answer may take.
 * @returns {Promise<Response>} an answer of 200.
 * @throws {RefusedError} it is another; any other error says that there is no daemon to be reached.
 */
export async function ask(path, { signal, patience = PATIENCE, ...options } = {}) {
  const ends = [AbortSignal.timeout(patience), ...(signal ? [signal] : [])];
  const response = await fetch(path, { cache: "no-store", ...options, signal: AbortSignal.any(ends) });
  if (!response.ok) throw new RefusedError(response.status, await reasonOf(response));
  return response;
}

/** The same, where the answer is JSON. */
export async function askJSON(path, options) {
  return (await ask(path, options)).json();
}

/** The URL of a WebSocket on the server that this page came from. */
export function socketURL(path) {
  const url = new URL(path, location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

async function reasonOf(response) {
  try {
    return (await response.json()).error;
  } catch {
    return `the daemon answered ${response.status}`;
  }
}
