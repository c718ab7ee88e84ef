/** Buttons that copy. */

import { button, setText } from "./dom.js";
import { say } from "./announce.js";

/** Milliseconds for which a button says that it was done. */
const SAID = 1_500;

/**
 * A button that copies some text.
 *
 * @param {string} label what it says.
 * @param {() => string} text gives what is copied.
 * @param {Object} attributes of the button.
 */
export function copyButton(label, text, attributes = {}) {
  const made = button(
    label,
    async () => {
      const done = (await copy(text())) ? "Copied" : "Not copied";
      setText(made, done);
      say(done);
      setTimeout(() => setText(made, label), SAID);
    },
    attributes,
  );
  return made;
}

/** Browsers have no clipboard for pages that came over plain HTTP from another machine: then a selection does it. */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copySelected(text);
  }
}

function copySelected(text) {
  const focused = document.activeElement;
  const area = document.createElement("textarea");
  area.className = "unseen";
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  focused?.focus();
  return done;
}
