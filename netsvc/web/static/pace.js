/**
 * How many facts a second to ask the daemon for: all of a burst, but of a flood that goes on only a sample.
 *
 * Nobody reads a flood, the rows drawn of it are few, and what the daemon sends it has to make into JSON first: with
 * less of that, its services do not notice who watches.
 */

import { Flow } from "./flow.js";

/** Facts a second to ask for, as long as it is no flood and while it is one. */
const WHOLE = 4_000;
const SAMPLED = 120;

/** Facts a second, over the seconds that Flow looks back, from which on it is a flood, and below which it is over. */
const FLOOD = 1_500;
const CALM = 500;

export class Pace {
  #flow = new Flow();
  #flooded = false;
  #asked = false;

  /** What to ask for now. */
  rate() {
    this.#asked = this.#flooded;
    return this.#flooded ? SAMPLED : WHOLE;
  }

  /** So many have come. */
  add(facts) {
    this.#flow.add(facts);
  }

  /** Whether by now something else should be asked for. */
  get over() {
    this.#flooded = this.#flow.rate > (this.#flooded ? CALM : FLOOD);
    return this.#flooded !== this.#asked;
  }
}
