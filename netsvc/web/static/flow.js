/** How many facts come a second, over the last few seconds. */

/** Milliseconds that are looked back. */
const SPAN = 3_000;

export class Flow {
  #seen = [];

  /** So many have come. */
  add(facts) {
    this.#seen.push({ at: performance.now(), facts });
    this.#forget();
  }

  /** How many a second. */
  get rate() {
    this.#forget();
    return this.#seen.reduce((sum, { facts }) => sum + facts, 0) / (SPAN / 1000);
  }

  #forget() {
    const since = performance.now() - SPAN;
    while (this.#seen.length && this.#seen[0].at < since) this.#seen.shift();
  }
}
