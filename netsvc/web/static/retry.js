/** Waiting, and waiting ever longer for what fails again and again. */

/** Milliseconds of the first and of the longest wait. */
const SHORTEST = 500;
const LONGEST = 8_000;

/**
 * Wait.
 *
 * @param {number} milliseconds
 * @param {AbortSignal} signal ends the wait early.
 */
export function sleep(milliseconds, signal) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal?.addEventListener("abort", done);
  });
}

/** Each wait is up to twice as long as the one before it, and no two pages wait alike. */
export class Backoff {
  #next = SHORTEST;

  /** It worked: begin anew with a short wait. */
  reset() {
    this.#next = SHORTEST;
  }

  /** Wait once more. */
  async wait(signal) {
    const milliseconds = this.#next * (0.5 + Math.random() / 2);
    this.#next = Math.min(this.#next * 2, LONGEST);
    await sleep(milliseconds, signal);
  }
}
