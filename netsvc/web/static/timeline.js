/**
 * The timeline's rows: a bounded number of them, newest last, drawn a few times a second.
 *
 * What comes faster than eyes can follow is drawn in samples, and a row says how many were left out there. Who scrolls
 * up or presses Pause is not disturbed: what comes meanwhile waits, as much of it as there would be rows. Who looks
 * back gets earlier rows, for which the newest make room; from then on the timeline is detached from what comes.
 */

import { Budget } from "./budget.js";
import { count } from "./format.js";
import { markOf, rowOf } from "./row.js";

/** Rows that there are at most. */
export const ROWS = 500;

/** Milliseconds between two drawings, and after one that left something out: it leaves time for others. */
const INTERVAL = 120;
const INTERVAL_OF_SAMPLES = 400;

/** Rows drawn a second, and at once after a rest. */
const RATE = 120;
const BURST = 200;

/** Pixels from its end at which the timeline still counts as being there. */
const NEAR = 24;

export class Timeline {
  #scroller;
  #body;
  #changed;
  #waiting = [];
  #facts = new WeakMap();
  #leftOut = 0;
  #timer = null;
  #interval = INTERVAL;
  #budget = new Budget(RATE, BURST);
  #paused = null;
  #detached = false;
  #top = 0;
  #height = 0;

  /**
   * @param {HTMLElement} scroller what scrolls.
   * @param {HTMLElement} body its rows' parent.
   * @param {() => void} changed called after rows, or how many wait, have changed.
   */
  constructor(scroller, body, changed) {
    this.#scroller = scroller;
    this.#body = body;
    this.#changed = changed;
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    new ResizeObserver(() => this.#paused === null && this.#toTheEnd()).observe(scroller);
  }

  /** Whether there is nothing, drawn or waiting. */
  get empty() {
    return !this.#body.firstChild && !this.#waiting.length;
  }

  /** Whether nothing is drawn for now. */
  get paused() {
    return this.#paused !== null;
  }

  /** Whether newer facts have made room for earlier ones: what comes does not follow on the last row. */
  get detached() {
    return this.#detached;
  }

  /** The seq of the first fact that is drawn; null where none is. */
  get oldest() {
    return this.#facts.get(this.#body.querySelector(".fact"))?.seq ?? null;
  }

  /** The same of the last one. */
  get newest() {
    return this.#facts.get([...this.#body.querySelectorAll(".fact")].at(-1))?.seq ?? null;
  }

  /** Whether more has come lately than is drawn. */
  get sampling() {
    return this.#interval === INTERVAL_OF_SAMPLES;
  }

  /** Facts that wait to be drawn, with those that there was no room for. */
  get waiting() {
    return this.#waiting.length + this.#leftOut;
  }

  /** The fact of a row; undefined where it is none. */
  factOf(row) {
    return this.#facts.get(row);
  }

  /**
   * Add what has come.
   *
   * @param {Object} batch see feed.js.
   */
  add({ facts, leftOut, lost }) {
    if (lost) this.mark(lost);
    this.#leftOut += leftOut;
    this.#waiting.push(...facts);
    this.#bound();
    this.#drawSoon();
  }

  /** Say something between the rows. */
  mark(text) {
    this.#waiting.push({ text });
    this.#drawSoon();
  }

  /**
   * Put earlier facts before the rows, which stay where they are seen; what comes waits from now on.
   *
   * @param {Object[]} facts oldest first.
   * @param {string|null} lost in words, what is missing before them.
   */
  lookBack(facts, lost) {
    this.#paused = "asked";
    this.#keepInView(this.#body.firstElementChild, () => {
      this.#body.prepend(...this.#allMade(facts, lost));
      if (this.#trim("lastElementChild")) this.#detached = true;
    });
    this.#changed();
  }

  /**
   * Put later facts behind the rows of a timeline that is detached.
   *
   * @param {Object[]} facts oldest first.
   * @param {string|null} lost in words, what is missing before them.
   */
  lookAhead(facts, lost) {
    this.#keepInView(this.#body.lastElementChild, () => {
      this.#body.append(...this.#allMade(facts, lost));
      this.#trim("firstElementChild");
    });
    this.#changed();
  }

  /** Take all rows away, and what waits; what comes is drawn again. */
  clear() {
    this.#body.replaceChildren();
    this.#waiting = [];
    if (this.#detached) this.#paused = null;
    this.#detached = false;
    // What there is of other facts comes whole.
    this.#budget = new Budget(RATE, BURST);
    this.#leftOut = 0;
    this.#changed();
  }

  /** Draw nothing, or go on. */
  pause(paused) {
    this.#paused = paused ? "asked" : null;
    if (!paused) this.#draw(this.#waiting.length);
    this.#changed();
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    const there = scrollHeight - clientHeight - scrollTop <= NEAR;
    // Rows may turn out higher than they were thought to be, and their end be farther away, or what opens beside them
    // takes their place: nobody has scrolled then.
    const upwards = scrollTop < this.#top && clientHeight === this.#height;
    this.#top = scrollTop;
    this.#height = clientHeight;
    if (upwards && !there && this.#paused === null) this.#paused = "scrolled";
    else if (there && this.#paused === "scrolled") this.#paused = null;
    else return;
    this.#drawSoon();
    this.#changed();
  }

  #bound() {
    const over = this.#waiting.length - ROWS;
    if (over > 0) this.#leftOut += this.#waiting.splice(0, over).filter((item) => !item.text).length;
  }

  #drawSoon() {
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      if (this.#paused === null) this.#draw(this.#budget.take(this.#waiting.length));
      this.#changed();
      if (this.#waiting.length && this.#paused === null) this.#drawSoon();
    }, this.#interval);
  }

  /** Draw the newest of what waits; the others are left out. */
  #draw(most) {
    const over = this.#waiting.length - most;
    if (over > 0 && most === 0) return;
    if (over > 0) this.#leftOut += this.#waiting.splice(0, over).filter((item) => !item.text).length;
    this.#interval = this.#leftOut ? INTERVAL_OF_SAMPLES : INTERVAL;
    const rows = this.#waiting.map((item) => this.#made(item));
    if (this.#leftOut) rows.unshift(markOf(`${count(this.#leftOut)} more, not drawn`));
    this.#waiting = [];
    this.#leftOut = 0;
    this.#body.append(...rows.slice(-ROWS));
    this.#trim("firstElementChild");
    this.#toTheEnd();
    requestAnimationFrame(() => this.#paused === null && this.#toTheEnd());
  }

  /** Take rows away at one end until there are no more than may be; tells whether there were any. */
  #trim(end) {
    const over = this.#body.childElementCount - ROWS;
    for (let left = over; left > 0; left -= 1) {
      const row = this.#body[end];
      // Whoever was there goes on from here, not from the begin of the page.
      if (row.contains(document.activeElement)) this.#scroller.focus();
      row.remove();
    }
    return over > 0;
  }

  /** Change the rows, and have one of them seen where it was. */
  #keepInView(row, change) {
    const before = row?.getBoundingClientRect().top;
    change();
    if (row?.isConnected) this.#scroller.scrollTop += row.getBoundingClientRect().top - before;
    this.#top = this.#scroller.scrollTop;
  }

  #toTheEnd() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#top = this.#scroller.scrollTop;
    this.#height = this.#scroller.clientHeight;
  }

  #allMade(facts, lost) {
    return (lost ? [{ text: lost }] : []).concat(facts).map((item) => this.#made(item));
  }

  #made(item) {
    if (item.text) return markOf(item.text);
    const row = rowOf(item);
    this.#facts.set(row, item);
    return row;
  }
}
