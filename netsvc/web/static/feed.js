/**
 * The facts as they come, each once and none missing.
 *
 * One loop: ask over HTTP for what came after the last fact, then listen on a WebSocket from there until that ends,
 * and begin again. Whatever is lost meanwhile, connection or daemon, the next round goes on behind the same fact.
 * Where HTTP passes and WebSocket does not, asking alone does it, by long polling; now and then the WebSocket is
 * tried again.
 */

import { askJSON, RefusedError, socketURL } from "./api.js";
import { placeOf } from "./history.js";
import { Pace } from "./pace.js";
import { Backoff, sleep } from "./retry.js";

/** What is said where the daemon has forgotten some. */
export const LOST = "The daemon no longer has the facts before these.";

/** Facts to begin with. */
const FIRST = 200;

/** Facts to go on with after a break; what is older is left to the daemon, and that is said. */
const MOST = 500;

/** Milliseconds after which it is looked whether a flood is over, where nothing comes any more. */
const LOOK = 1_000;

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
 * @property {Object|null} place how far back the first batch goes; see history.js.
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
        if (signal.aborted) return;
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
    query.set("order", "newest");
    query.set("limit", place.after === null ? FIRST : MOST);
    if (place.after !== null) query.set("after", place.after);
    if (polling) {
      query.set("wait", WAIT);
      this.#state("polling", "");
    }
    const patience = (polling ? WAIT : 0) * 1000 + 10_000;
    const answer = await askJSON(`/api/facts?${query}`, { signal, patience });
    if (signal.aborted) return;
    const begin = place.after === null ? placeOf(answer) : null;
    place.after = answer.last;
    const cut = begin === null && answer.more;
    this.#give(answer.facts.reverse(), 0, answer.gap, cut ? "Facts before these are left out." : null, begin);
  }

  /**
   * Listen until it ends, on one WebSocket after the other where the pace becomes another.
   *
   * @returns {Promise<boolean>} whether the last one lasted.
   */
  async #listen(place, signal) {
    const pace = new Pace();
    let ended;
    do ended = await this.#hear(place, pace, signal);
    while (ended.byPace && !signal.aborted);
    return ended.lasted;
  }

  /** Listen on one WebSocket until it ends; tells whether it lasted, and whether it was for another pace. */
  #hear(place, pace, signal) {
    const query = new URLSearchParams(place.filter);
    query.set("after", place.after);
    query.set("rate", pace.rate());
    const socket = new WebSocket(socketURL(`/ws/facts?${query}`));
    this.#socket = socket;
    let opened = null;
    let byPace = false;
    const close = () => socket.close();
    const look = () => {
      if (opened === null || byPace || !pace.over) return;
      byPace = true;
      close();
    };
    signal.addEventListener("abort", close, { once: true });
    const looking = setInterval(look, LOOK);
    return new Promise((resolve) => {
      socket.onopen = () => {
        opened = Date.now();
        if (!signal.aborted) this.#state("live", "");
      };
      socket.onmessage = ({ data }) => {
        if (signal.aborted) return;
        const message = JSON.parse(data);
        place.after = message.last;
        pace.add(message.facts.length + message.left_out);
        this.#give(message.facts, message.left_out, message.gap, null);
        look();
      };
      socket.onclose = () => {
        signal.removeEventListener("abort", close);
        clearInterval(looking);
        if (this.#socket === socket) this.#socket = null;
        resolve({ byPace, lasted: opened !== null && Date.now() - opened >= LASTING });
      };
    });
  }

  #give(facts, leftOut, gap, cut, place = null) {
    const lost = gap ? LOST : cut;
    this.#batch({ facts, leftOut, lost, place });
  }
}
