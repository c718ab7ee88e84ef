/**
 * The facts that are shown, and all before them that the daemon still has, as a file of one JSON object a line.
 *
 * What the daemon loses meanwhile is missing in the file, and a line such as {"gap":{…}} stands in its place.
 */

import { ask } from "./api.js";

/** Facts of one answer, and milliseconds that it may take. */
const PAGE = 10_000;
const PATIENCE = 120_000;

/**
 * Fetch the facts.
 *
 * @param {URLSearchParams} filter
 * @param {number} until the seq of the last one.
 * @param {(facts: number) => void} progress told how many there are so far.
 * @returns {Promise<{blob: Blob, lost: boolean}>} the file, and whether it has such a line.
 */
export async function collect(filter, until, progress) {
  const parts = [];
  let facts = 0;
  let after = 0;
  let more = true;
  let lost = false;
  while (more && after < until) {
    const query = new URLSearchParams(filter);
    query.set("after", after);
    query.set("limit", PAGE);
    const options = { headers: { Accept: "application/x-ndjson" }, patience: PATIENCE };
    const answer = await ask(`/api/facts?${query}`, options);
    const lines = (await answer.text()).split("\n").slice(0, -1);
    // A part of a journal may have none that fit, and there be others behind it.
    after = Number(answer.headers.get("Netsvc-Last"));
    more = answer.headers.get("Netsvc-More") === "true";
    const wanted = after <= until ? lines : lines.filter((line) => JSON.parse(line).seq <= until);
    const gap = answer.headers.get("Netsvc-Gap");
    if (gap !== null) {
      lost = true;
      parts.push(`{"gap":${gap}}\n`);
    }
    facts += wanted.length;
    parts.push(wanted.map((line) => `${line}\n`).join(""));
    progress(facts);
  }
  return { blob: new Blob(parts, { type: "application/x-ndjson" }), lost };
}

/** Give somebody a file. */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  // The browser has taken it by then.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
