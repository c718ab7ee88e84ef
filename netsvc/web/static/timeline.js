/**
 * The timeline's rows: a bounded number of them, newest last, drawn a few times a second.
 *
 * What comes faster than eyes can follow is drawn in samples, and a row says how many were left out there. Who scrolls
 * up or presses Pause is not disturbed: what comes meanwhile waits, as much of it as there would be rows.
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
  #top = 0;

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
  }

  /** Whether there is nothing, drawn or waiting. */
  get empty() {
    return !this.#body.firstChild && !this.#waiting.length;
  }

  /** Whether nothing is drawn for now. */
  get paused() {
    return this.#paused !== null;
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

  /** Take all rows away, and what waits. */
  clear() {
    this.#body.replaceChildren();
    this.#waiting = [];
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
    // Rows may turn out higher than they were thought to be, and their end be farther away: nobody has scrolled then.
    const upwards = scrollTop < this.#top;
    this.#top = scrollTop;
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
    while (this.#body.childElementCount > ROWS) this.#body.firstElementChild.remove();
    this.#toTheEnd();
    requestAnimationFrame(() => this.#paused === null && this.#toTheEnd());
  }

  #toTheEnd() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#top = this.#scroller.scrollTop;
  }

  #made(item) {
    if (item.text) return markOf(item.text);
    const row = rowOf(item);
    this.#facts.set(row, item);
    return row;
  }
}
