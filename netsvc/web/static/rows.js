/**
 * Moving through the timeline's rows by keyboard: one stop for Tab, arrows from row to row.
 */

/**
 * Let keys move the focus.
 *
 * @param {HTMLElement} body the rows' parent; each row that can be chosen has one button.
 */
export function moveByKeys(body) {
  body.addEventListener("keydown", (event) => {
    const buttons = [...body.querySelectorAll(".fact button")];
    const at = buttons.indexOf(document.activeElement);
    const to = { ArrowUp: at - 1, ArrowDown: at + 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    buttons[Math.max(0, Math.min(to, buttons.length - 1))].focus();
  });
  body.addEventListener("focusin", (event) => {
    if (event.target.matches(".fact button")) makeStop(body, event.target);
  });
}

/** Make sure that Tab stops at a row, the newest unless one was chosen and is still there. */
export function keepStop(body) {
  if (!body.querySelector('.fact button[tabindex="0"]')) makeStop(body, body.querySelector(".fact:last-child button"));
}

function makeStop(body, button) {
  for (const other of body.querySelectorAll('button[tabindex="0"]')) other.tabIndex = -1;
  if (button) button.tabIndex = 0;
}
