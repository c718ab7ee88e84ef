/** How much may be drawn: as much as eyes can follow, and a burst at once. */

export class Budget {
  #left;
  #burst;
  #rate;
  #at = performance.now();

  /**
   * @param {number} rate how many a second.
   * @param {number} burst how many at once after a rest.
   */
  constructor(rate, burst) {
    this.#rate = rate;
    this.#burst = burst;
    this.#left = burst;
  }

  /** How many of so many may be drawn now; they are taken. */
  take(wanted) {
    const now = performance.now();
    this.#left = Math.min(this.#burst, this.#left + ((now - this.#at) / 1000) * this.#rate);
    this.#at = now;
    const given = Math.min(wanted, Math.floor(this.#left));
    this.#left -= given;
    return given;
  }
}
