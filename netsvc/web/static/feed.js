/**
 * The facts as they come, each once and none missing.
 *
 * One loop: ask over HTTP for what came after the last fact, then listen on a WebSocket from there until that ends,
 * and begin again. Whatever is lost meanwhile, connection or daemon, the next round goes on behind the same fact.
 * Where HTTP passes and WebSocket does not, asking alone does it, by long polling; now and then the WebSocket is
 * tried again.
 */

import { askJSON, RefusedError, socketURL } from "./api.js";
import { Backoff, sleep } from "./retry.js";

/** Facts to begin with. */
const FIRST = 200;

/** Facts to go on with after a break; what is older is left to the daemon, and that is said. */
const MOST = 500;

/** Facts a second of which the daemon sends no more than a sample: so many that a burst still comes whole. */
const RATE = 4_000;

/** Seconds that one question of long polling waits, and milliseconds that two are apart at least. */
const WAIT = 25;
const PACE = 400;

/** WebSockets in a row that did not last, after which there are no more of them for a while, in milliseconds. */
const FAILURES = 2;
const LASTING = 3_000;
const WITHOUT = 60_000;

/**
 * @typedef {Object} Batch
 * @property {Object[]} facts oldest first.
 * @property {number} leftOut how many more there were, where that is known.
 * @property {string|null} lost in words, what is missing before these facts.
 */

export class Feed {
  #batch;
  #state;
  #ending = new AbortController();
  #socket = null;
  #place = { filter: new URLSearchParams(), after: null };

  /**
   * @param {(batch: Batch) => void} batch given what has come.
   * @param {(state: string, text: string) => void} state told how it goes, in the words of state.js; after "invalid",
   *     which a filter can be, nothing comes any more.
   */
  constructor(batch, state) {
    this.#batch = batch;
    this.#state = state;
  }

  /** The seq up to which everything has been looked at. */
  get last() {
    return this.#place.after ?? 0;
  }

  /**
   * Begin anew with other facts.
   *
   * @param {URLSearchParams} filter
   */
  follow(filter) {
    this.stop();
    this.#ending = new AbortController();
    this.#place = { filter, after: null };
    this.#run(this.#place, this.#ending.signal);
  }

  /** Be given nothing any more. */
  stop() {
    this.#ending.abort();
  }

  /** Others could not reach the daemon: the WebSocket may only look alive. */
  suspect() {
    this.#socket?.close();
  }

  async #run(place, signal) {
    const backoff = new Backoff();
    let failures = 0;
    let without = 0;
    this.#state("connecting", "");
    while (!signal.aborted) {
      const polling = failures >= FAILURES && Date.now() < without;
      const began = Date.now();
      try {
        await this.#ask(place, polling, signal);
        backoff.reset();
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof RefusedError && error.status === 400) {
          this.#state("invalid", error.message);
          return;
        }
        const refused = error instanceof RefusedError;
        this.#state(refused ? "refused" : "lost", refused ? error.message : "");
        failures = 0;
        await backoff.wait(signal);
        continue;
      }
      if (polling) {
        await sleep(PACE - (Date.now() - began), signal);
        continue;
      }
      failures = (await this.#listen(place, signal)) ? 0 : failures + 1;
      if (failures >= FAILURES) without = Date.now() + WITHOUT;
    }
  }

  /** Get what came after the place, over HTTP; where it is polled, waits for something to come. */
  async #ask(place, polling, signal) {
    const query = new URLSearchParams(place.filter);
    const limit = place.after === null ? FIRST : MOST;
    query.set("order", "newest");
    query.set("limit", limit);
    if (place.after !== null) query.set("after", place.after);
    if (polling) {
      query.set("wait", WAIT);
      this.#state("polling", "");
    }
    const patience = (polling ? WAIT : 0) * 1000 + 10_000;
    const answer = await askJSON(`/api/facts?${query}`, { signal, patience });
    if (signal.aborted) return;
    const first = place.after === null;
    place.after = answer.last;
    const cut = !first && answer.facts.length >= limit;
    this.#give(answer.facts.reverse(), 0, answer.gap, cut ? "Facts before these are left out." : null);
  }

  /**
   * Listen until it ends.
   *
   * @returns {Promise<boolean>} whether it lasted.
   */
  #listen(place, signal) {
    const query = new URLSearchParams(place.filter);
    query.set("after", place.after);
    query.set("rate", RATE);
    const socket = new WebSocket(socketURL(`/ws/facts?${query}`));
    this.#socket = socket;
    const close = () => socket.close();
    signal.addEventListener("abort", close, { once: true });
    return new Promise((resolve) => {
      let opened = null;
      socket.onopen = () => {
        opened = Date.now();
        if (!signal.aborted) this.#state("live", "");
      };
      socket.onmessage = ({ data }) => {
        if (signal.aborted) return;
        const message = JSON.parse(data);
        place.after = message.last;
        this.#give(message.facts, message.left_out, message.gap, null);
      };
      socket.onclose = () => {
        signal.removeEventListener("abort", close);
        this.#socket = null;
        resolve(opened !== null && Date.now() - opened >= LASTING);
      };
    });
  }

  #give(facts, leftOut, gap, cut) {
    const lost = gap ? "The daemon no longer has the facts before these." : cut;
    this.#batch({ facts, leftOut, lost });
  }
}
