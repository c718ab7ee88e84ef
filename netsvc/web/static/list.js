/** A list on the page that follows one in memory: what stays, stays the same element and keeps its focus. */

/**
 * Bring a list up to date.
 *
 * @param {HTMLElement} parent its elements are all of the list's.
 * @param {Object[]} items in their order.
 * @param {(item: Object) => string} keyOf tells items apart.
 * @param {(item: Object) => {node: HTMLElement, update: (item: Object) => void}} make makes an item's element, and
 *     what brings that up to date.
 */
export function follow(parent, items, keyOf, make) {
  const known = KNOWN.get(parent) ?? new Map();
  const next = new Map();
  for (const item of items) {
    const key = keyOf(item);
    const entry = known.get(key) ?? make(item);
    entry.update(item);
    next.set(key, entry);
  }
  KNOWN.set(parent, next);
  for (const [key, { node }] of known) if (!next.has(key)) node.remove();
  let at = parent.firstElementChild;
  for (const { node } of next.values()) {
    if (node === at) at = at.nextElementSibling;
    else parent.insertBefore(node, at);
  }
}

const KNOWN = new WeakMap();
