/** The page at /: puts its parts together. */

import { say } from "./announce.js";
import { RefusedError } from "./api.js";
import { Clients } from "./clients.js";
import { Connections } from "./connections.js";
import { Detail } from "./detail.js";
import { byId, complain, setText } from "./dom.js";
import { collect, save } from "./download.js";
import { suggest } from "./empty.js";
import { Feed, LOST } from "./feed.js";
import { Filters } from "./filters.js";
import { Flow } from "./flow.js";
import { clock, count, counted, rate } from "./format.js";
import { History } from "./history.js";
import { Listeners } from "./listeners.js";
import { More } from "./more.js";
import { repeat } from "./repeat.js";
import { keepStop, moveByKeys } from "./rows.js";
import { showState } from "./state.js";
import { Timeline } from "./timeline.js";

/** Milliseconds between two looks. */
const LISTENERS = 1_000;
const CONNECTIONS = 2_000;
const CLIENTS = 3_000;

/** Milliseconds between two announcements of new facts. */
const ANNOUNCED = 10_000;

/** What is said where a page of facts that were looked at has none that fits. */
const NONE = "None fits so far; there are more.";

/** What is said of a file that does not have all the facts. */
const INCOMPLETE = "Facts are missing in the downloaded file: the daemon no longer had them. A line says where.";

/** Facts a second from which on it is said how many there are. */
const FAST = 20;

const body = byId("facts-body");
const flow = new Flow();
const timeline = new Timeline(byId("facts"), body, showTimeline);
const feed = new Feed(take, showFeed);
const filters = new Filters(begin);
const past = new History(() => filters.query());
const earlier = new More(byId("earlier"), lookBack);
const later = new More(byId("later"), lookAhead);
const detail = new Detail(filter);
const listeners = new Listeners(filter);
const connections = new Connections(filter);
const clients = new Clients(filter);

/** Counts what was looked at: an answer about something else comes too late. */
let current = 0;
let began = true;
let unannounced = 0;
let started = null;

/** When the listeners were last looked at. */
let seen = "";

/** Show other facts. */
function begin(query) {
  began = true;
  current += 1;
  detail.close();
  timeline.clear();
  timeline.pause(false);
  earlier.offer(false);
  feed.follow(query);
}

/** Facts have come. */
function take(batch) {
  if (!began) {
    flow.add(batch.facts.length + batch.leftOut);
    unannounced += batch.facts.length + batch.leftOut;
  }
  began = false;
  if (batch.place) {
    past.begin(batch.place);
    earlier.offer(batch.place.more);
  }
  timeline.add(batch);
  showTimeline();
}

/** Show what was before the rows. */
async function lookBack() {
  const shown = current;
  const { facts, more, lost } = await past.earlier(timeline.oldest, feed.last);
  if (shown !== current) return null;
  timeline.lookBack(facts, lost ? LOST : null);
  if (facts.length) return { more, text: `${counted(facts.length, "earlier fact")}.` };
  return { more, text: more ? NONE : "There are no earlier facts." };
}

/** Show what was behind the rows; where that is all, what comes follows on it again. */
async function lookAhead() {
  const shown = current;
  const { facts, more, lost } = await past.later(timeline.newest);
  if (shown !== current) return null;
  if (more) {
    timeline.lookAhead(facts, lost ? LOST : null);
    earlier.offer(true);
    return { more, text: facts.length ? `${counted(facts.length, "later fact")}.` : NONE };
  }
  begin(filters.query());
  return null;
}

function showFeed(state, text) {
  showState(state, state === "invalid" ? "" : text);
  if (state === "invalid") filters.complain(text);
}

function filter(values) {
  filters.set(values);
  byId("facts").focus();
}

function showTimeline() {
  keepStop(body);
  const empty = timeline.empty && !began;
  byId("facts-table").hidden = timeline.empty;
  byId("empty").hidden = !empty || filters.active;
  byId("empty-filtered").hidden = !empty || !filters.active;
  byId("empty-coming").hidden = filters.over;
  if (byId("later").hidden === timeline.detached) later.offer(timeline.detached);
  const pause = byId("pause");
  setText(pause, timeline.paused ? "Resume" : "Pause");
  setText(byId("facts-status"), statusOf());
}

function statusOf() {
  const speed = flow.rate > FAST ? `${rate(flow.rate)} facts a second` : "";
  if (timeline.detached) return `Looking back; ${count(timeline.waiting)} new${speed && `, ${speed}`}`;
  if (timeline.paused) return `Paused; ${count(timeline.waiting)} new${speed && `, ${speed}`}`;
  return speed && timeline.sampling ? `${speed}, drawn in samples` : speed;
}

async function download() {
  const pressed = byId("download");
  pressed.disabled = true;
  try {
    const progress = (facts) => setText(pressed, `${count(facts)} facts…`);
    const { blob, lost } = await collect(filters.query(), feed.last, progress);
    save(blob, `netsvc-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}.ndjson`);
    if (!lost) return;
    say(INCOMPLETE);
    timeline.mark(INCOMPLETE);
  } catch (error) {
    say(`The download failed: ${error.message}`);
    timeline.mark(`The download failed: ${error.message}`);
  } finally {
    pressed.disabled = false;
    setText(pressed, "Download");
  }
}

async function refreshListeners() {
  const answer = await listeners.refresh();
  suggest(answer.listeners);
  filters.offer("service", answer.listeners.map(({ service }) => service));
  if (started !== null && started !== answer.started) timeline.mark("The daemon has been started anew.");
  started = answer.started;
  seen = clock(`${Date.now()}000000`).slice(0, 8);
  complain("", byId("stale"));
  setText(byId("version"), answer.version);
  setText(byId("facts-status"), statusOf());
}

async function refreshClients() {
  filters.offer("name", (await clients.refresh()).map(({ name }) => name));
}

async function refreshConnections() {
  filters.offer("peer", (await connections.refresh()).map(({ address }) => address).filter(Boolean));
}

byId("pause").addEventListener("click", () => {
  // What comes does not follow on what is shown then.
  if (timeline.detached) begin(filters.query());
  else timeline.pause(!timeline.paused);
});
byId("clear").addEventListener("click", () => {
  detail.close();
  timeline.clear();
  // What comes while nothing is drawn is not what was before.
  past.begin({ oldest: null, before: feed.last + 1, more: true });
  earlier.offer(true);
});
byId("download").addEventListener("click", download);
byId("clear-filters").addEventListener("click", () => filters.set({}));
body.addEventListener("click", (event) => {
  const row = event.target.closest("tr.fact");
  // Whoever selects text wants to copy it.
  if (row && String(getSelection()) === "") detail.open(timeline.factOf(row), row.querySelector("button"));
});
moveByKeys(body);
setInterval(() => {
  if (unannounced && !timeline.paused) say(counted(unannounced, "new fact"));
  unannounced = 0;
}, ANNOUNCED);

filters.begin();
repeat(LISTENERS, refreshListeners, (error) => {
  feed.suspect();
  const why = error instanceof RefusedError ? error.message : "there is no connection";
  complain(`${seen ? `As it was at ${seen}` : "Not known"}: ${why}.`, byId("stale"));
});
repeat(CONNECTIONS, refreshConnections);
repeat(CLIENTS, refreshClients);
