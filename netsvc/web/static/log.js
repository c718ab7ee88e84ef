/** A list of what was said or sent: bounded, and at its end unless somebody has scrolled away from there. */

/** Items that there are at most. */
const ITEMS = 500;

/** Pixels from its end at which it still counts as being there. */
const NEAR = 24;

export class Log {
  #list;

  /** @param {HTMLElement} list its items' parent, which scrolls. */
  constructor(list) {
    this.#list = list;
  }

  /** Add an item. */
  add(item) {
    const { scrollTop, scrollHeight, clientHeight } = this.#list;
    const there = scrollHeight - clientHeight - scrollTop <= NEAR;
    this.#list.append(item);
    while (this.#list.childElementCount > ITEMS) this.#list.firstElementChild.remove();
    if (there) this.#list.scrollTop = this.#list.scrollHeight;
  }
}
