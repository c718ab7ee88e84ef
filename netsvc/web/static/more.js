/** A button that shows more, at one end of a list. */

import { setText } from "./dom.js";

export class More {
  #place;
  #button;
  #note;
  #show;
  #busy = false;

  /**
   * @param {HTMLElement} place has the button, and beside it what is said of the last time; its parent is the list.
   * @param {() => Promise<?{more: boolean, text: string}>} show shows more; resolves to whether there is still more and
   *     what is said of that, or to null where by then it was about something else.
   */
  constructor(place, show) {
    this.#place = place;
    this.#button = place.querySelector("button");
    this.#note = place.querySelector(".note");
    this.#show = show;
    this.#button.addEventListener("click", () => this.#pressed());
  }

  /** Whether there is more. */
  offer(more, text = "") {
    const focused = document.activeElement === this.#button;
    this.#place.hidden = !more && !text;
    this.#button.hidden = !more;
    setText(this.#note, text);
    if (focused && !more) this.#place.parentElement.focus();
  }

  async #pressed() {
    // Not disabled meanwhile, which would take the focus away.
    if (this.#busy) return;
    this.#busy = true;
    setText(this.#note, "Looking…");
    try {
      const shown = await this.#show();
      if (shown) this.offer(shown.more, shown.text);
    } catch (error) {
      setText(this.#note, `That failed: ${error.message}`);
    } finally {
      this.#busy = false;
    }
  }
}
