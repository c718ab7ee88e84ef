/**
 * Elements, made in one expression.
 *
 * Text only ever becomes a text node or an attribute's value, never markup: whatever a peer sends is inert because
 * there is no other way to put it on a page.
 */

/**
 * Make an element.
 *
 * @param {string} name its tag.
 * @param {Object<string, string|number|boolean|null|undefined>} attributes true is an empty value; false, null and
 *     undefined leave it out.
 * @param {...(Node|string|number|null)} children text becomes text nodes, null is left out.
 * @returns {HTMLElement}
 */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, String(value));
  }
  made.append(...children.filter((child) => child !== null && child !== undefined).map(nodeOf));
  return made;
}

/**
 * A button that does something.
 *
 * @param {string} label what it says.
 * @param {() => void} pressed called when it is pressed.
 * @param {Object} attributes of the element.
 */
export function button(label, pressed, attributes = {}) {
  const made = element("button", { type: "button", ...attributes }, label);
  made.addEventListener("click", pressed);
  return made;
}

/** Set an element's text, and touch the page only where that changes it. */
export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

/** Say what is wrong, or with an empty text that nothing is any more. */
export function complain(text, target = byId("error")) {
  setText(target, text);
  target.hidden = !text;
}

/** The element with an id; there must be one. */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no element ${id}`);
  return found;
}

function nodeOf(child) {
  return child instanceof Node ? child : document.createTextNode(String(child));
}
