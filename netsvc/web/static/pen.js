/**
 * A pen: turns what pointers and keys do on an element into points, some at a time.
 *
 * Points are fractions of the element's width and height.
 */

/** Milliseconds for which points are collected, and how many at most: others see a line grow. */
const INTERVAL = 50;
const POINTS = 200;

/** How far a key moves the pen. */
const STEP = 0.01;

const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Pen {
  #surface;
  #drawn;
  #moved;
  #points = [];
  #timer = null;
  #pointer = null;
  #place = [0.5, 0.5];

  /**
   * @param {HTMLElement} surface where it draws.
   * @param {(points: [number, number][]) => void} drawn given points that belong together.
   * @param {(place: [number, number]) => void} moved told where a key has moved it.
   */
  constructor(surface, drawn, moved) {
    this.#surface = surface;
    this.#drawn = drawn;
    this.#moved = moved;
    surface.addEventListener("pointerdown", (event) => this.#down(event));
    surface.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"]) surface.addEventListener(end, (event) => this.#up(event));
    surface.addEventListener("keydown", (event) => this.#key(event));
  }

  #down(event) {
    // One finger draws; a second one would draw lines between the two.
    if (event.button !== 0 || this.#timer !== null) return;
    this.#pointer = event.pointerId;
    this.#surface.setPointerCapture(event.pointerId);
    this.#points = [this.#placeOf(event)];
    this.#timer = setInterval(() => this.#flush(), INTERVAL);
  }

  #move(event) {
    if (this.#timer === null || event.pointerId !== this.#pointer) return;
    for (const one of event.getCoalescedEvents?.() ?? [event]) this.#points.push(this.#placeOf(one));
    if (this.#points.length === 1) this.#points.push(this.#placeOf(event));
    if (this.#points.length >= POINTS) this.#flush();
  }

  #up(event) {
    if (this.#timer === null || event.pointerId !== this.#pointer) return;
    clearInterval(this.#timer);
    this.#timer = null;
    this.#flush(true);
    this.#points = [];
  }

  /** Give what there is; the next part begins where this one ends. */
  #flush(last = false) {
    if (this.#points.length < 2 && !last) return;
    if (this.#points.length) this.#drawn(this.#points.slice(0, POINTS));
    this.#points = this.#points.slice(Math.min(this.#points.length, POINTS) - 1);
  }

  #key(event) {
    const move = MOVES[event.key];
    if (move) {
      const from = this.#place;
      this.#place = [bounded(from[0] + move[0] * STEP), bounded(from[1] + move[1] * STEP)];
      if (event.shiftKey) this.#drawn([from, this.#place]);
    } else if (event.key === " ") this.#drawn([this.#place]);
    else return;
    event.preventDefault();
    this.#moved(this.#place);
  }

  #placeOf(event) {
    const { left, top, width, height } = this.#surface.getBoundingClientRect();
    return [bounded((event.clientX - left) / width), bounded((event.clientY - top) / height)];
  }
}

function bounded(value) {
  return Math.round(Math.max(0, Math.min(1, value)) * 10_000) / 10_000;
}
