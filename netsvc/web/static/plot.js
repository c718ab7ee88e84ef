/** A small plot of a rate: the last minute, as wide as its place. */

const SVG = "http://www.w3.org/2000/svg";

/** Values that a plot has, and the height of its own coordinates. */
const VALUES = 60;
const HEIGHT = 20;

export class Plot {
  #line = document.createElementNS(SVG, "polyline");
  #values = [];

  constructor() {
    this.node = document.createElementNS(SVG, "svg");
    this.node.setAttribute("class", "plot");
    this.node.setAttribute("viewBox", `0 -1 ${VALUES - 1} ${HEIGHT + 2}`);
    this.node.setAttribute("preserveAspectRatio", "none");
    // The number beside it says the same.
    this.node.setAttribute("aria-hidden", "true");
    this.#line.setAttribute("vector-effect", "non-scaling-stroke");
    this.node.append(this.#line);
    this.#draw();
  }

  /** Add the newest value. */
  add(value) {
    this.#values.push(value);
    if (this.#values.length > VALUES) this.#values.shift();
    this.#draw();
  }

  #draw() {
    const highest = Math.max(1, ...this.#values);
    const begin = VALUES - this.#values.length;
    const points = this.#values.map((one, at) => `${begin + at},${(HEIGHT * (1 - one / highest)).toFixed(2)}`);
    // Nothing came before the first look, as far as anybody knows.
    this.#line.setAttribute("points", [`0,${HEIGHT} ${begin},${HEIGHT}`, ...points].join(" "));
  }
}
