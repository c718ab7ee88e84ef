/**
 * What was before the rows of the timeline, and behind them where newer ones have made room: asked for when somebody
 * wants to see it, a page at a time.
 */

import { askJSON } from "./api.js";

/** Facts of one page, and milliseconds that it may take: the daemon may have to look for them on a disk. */
const PAGE = 200;
const PATIENCE = 30_000;

/**
 * @typedef {Object} Place
 * @property {number|null} oldest the seq of the first fact that is shown; null where none is.
 * @property {number|null} before the seq before which to look next; null where nobody knows.
 * @property {boolean} more whether there can be facts before that.
 */

/**
 * How far back an answer of the newest facts goes.
 *
 * @param {Object} answer the API's, of which there may be no facts at all.
 * @returns {Place}
 */
export function placeOf({ facts, before, more }) {
  return { oldest: facts.at(-1)?.seq ?? null, before, more };
}

export class History {
  #filter;
  #place = { oldest: null, before: null, more: false };
  #ahead = { newest: null, last: null };

  /** @param {() => URLSearchParams} filter gives the filter. */
  constructor(filter) {
    this.#filter = filter;
  }

  /** Begin anew at a place. */
  begin(place) {
    this.#place = place;
  }

  /**
   * Look back.
   *
   * @param {number|null} oldest the seq of the first fact that is shown, if one is.
   * @param {number} last the seq up to which everything has come.
   * @returns {Promise<{facts: Object[], more: boolean, lost: boolean}>} oldest first; whether there can be more, and
   *     whether there were others that the daemon no longer has.
   */
  async earlier(oldest, last) {
    // Where rows have gone since, it goes on from those that are left.
    const known = oldest === this.#place.oldest ? this.#place.before : oldest;
    const answer = await this.#ask({ order: "newest", before: known ?? last + 1 });
    const place = placeOf(answer);
    this.#place = { ...place, oldest: place.oldest ?? oldest };
    return { facts: answer.facts.reverse(), more: place.more, lost: Boolean(answer.gap) };
  }

  /**
   * Look ahead again.
   *
   * @param {number} newest the seq of the last fact that is shown.
   * @returns {Promise<{facts: Object[], more: boolean, lost: boolean}>} as above.
   */
  async later(newest) {
    // Where nothing fitted in what was looked at, it goes on behind that.
    const after = newest === this.#ahead.newest ? this.#ahead.last : newest;
    const { facts, last, more, gap } = await this.#ask({ order: "oldest", after });
    this.#ahead = { newest: facts.at(-1)?.seq ?? newest, last };
    return { facts, more, lost: Boolean(gap) };
  }

  #ask(page) {
    const query = new URLSearchParams(this.#filter());
    for (const [key, value] of Object.entries({ ...page, limit: PAGE })) query.set(key, value);
    return askJSON(`/api/facts?${query}`, { patience: PATIENCE });
  }
}
