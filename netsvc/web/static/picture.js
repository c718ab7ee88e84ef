/** Strokes on a canvas: points are fractions of its width and height, widths are thousandths of its width. */

export class Picture {
  #canvas;
  #context;

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d");
    this.clear();
  }

  /** Make it empty; paper is white in whatever scheme, for the colours on it are everyone's. */
  clear() {
    this.#context.fillStyle = "#ffffff";
    this.#context.fillRect(0, 0, this.#canvas.width, this.#canvas.height);
  }

  /**
   * Draw a stroke.
   *
   * @param {{points: [number, number][], color: string, width: number}} stroke
   */
  draw({ points, color, width }) {
    const { width: across, height: down } = this.#canvas;
    const context = this.#context;
    const thickness = (width / 1000) * across;
    const [begin, ...rest] = points.map(([x, y]) => [x * across, y * down]);
    context.beginPath();
    if (rest.length) {
      context.strokeStyle = color;
      context.lineWidth = thickness;
      context.lineCap = context.lineJoin = "round";
      context.moveTo(...begin);
      for (const point of rest) context.lineTo(...point);
      context.stroke();
    } else {
      // A line without length is not drawn.
      context.fillStyle = color;
      context.arc(...begin, thickness / 2, 0, 2 * Math.PI);
      context.fill();
    }
  }
}
