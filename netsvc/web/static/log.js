/** A list of what was said or sent: bounded, and at its end unless somebody has scrolled away from there. */

/** Items that there are at most. */
const ITEMS = 500;

/** Pixels from its end at which it still counts as being there. */
const NEAR = 24;

export class Log {
  #list;
  #there = true;

  /** @param {HTMLElement} list its items' parent, which scrolls. */
  constructor(list) {
    this.#list = list;
    const scrolled = () => (this.#there = list.scrollHeight - list.clientHeight - list.scrollTop <= NEAR);
    list.addEventListener("scroll", scrolled, { passive: true });
    // What opens beside it takes its room, and nobody has scrolled then.
    new ResizeObserver(() => this.#there && this.#toTheEnd()).observe(list);
  }

  /** Add an item. */
  add(item) {
    this.#list.append(item);
    while (this.#list.childElementCount > ITEMS) this.#list.firstElementChild.remove();
    if (this.#there) this.#toTheEnd();
  }

  #toTheEnd() {
    this.#list.scrollTop = this.#list.scrollHeight;
  }
}
