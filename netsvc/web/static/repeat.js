/** Asking again and again for what changes, without asking too much. */

import { sleep } from "./retry.js";

/** Milliseconds between two questions of a page that nobody sees. */
const UNSEEN = 10_000;

/** An answer that takes long is asked for as much less often. */
const SHARE = 10;

/**
 * Ask for ever.
 *
 * @param {number} interval milliseconds between two questions.
 * @param {() => Promise<void>} question asks once and shows the answer.
 * @param {() => void} failed called when that did not work.
 */
export async function repeat(interval, question, failed = () => {}) {
  for (;;) {
    const began = performance.now();
    try {
      await question();
    } catch (error) {
      failed(error);
    }
    const took = performance.now() - began;
    await sleep(Math.max(document.hidden ? UNSEEN : interval, took * SHARE));
  }
}
