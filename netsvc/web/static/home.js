/** The page at /: puts its parts together. */

import { say } from "./announce.js";
import { Clients } from "./clients.js";
import { Connections } from "./connections.js";
import { Detail } from "./detail.js";
import { byId, setText } from "./dom.js";
import { collect, save } from "./download.js";
import { suggest } from "./empty.js";
import { Feed } from "./feed.js";
import { Filters } from "./filters.js";
import { Flow } from "./flow.js";
import { count, rate } from "./format.js";
import { Listeners } from "./listeners.js";
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

/** Facts a second from which on it is said how many there are. */
const FAST = 20;

const body = byId("facts-body");
const flow = new Flow();
const timeline = new Timeline(byId("facts"), body, showTimeline);
const feed = new Feed(take, showFeed);
const filters = new Filters(begin);
const detail = new Detail(filter);
const listeners = new Listeners(filter);
const connections = new Connections(filter);
const clients = new Clients(filter);

let began = true;
let unannounced = 0;
let started = null;

/** Show other facts. */
function begin(query) {
  began = true;
  detail.close();
  timeline.clear();
  timeline.pause(false);
  feed.follow(query);
}

/** Facts have come. */
function take(batch) {
  if (!began) {
    flow.add(batch.facts.length + batch.leftOut);
    unannounced += batch.facts.length + batch.leftOut;
  }
  began = false;
  timeline.add(batch);
  showTimeline();
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
  const pause = byId("pause");
  setText(pause, timeline.paused ? "Resume" : "Pause");
  setText(byId("facts-status"), statusOf());
}

function statusOf() {
  const speed = flow.rate > FAST ? `${rate(flow.rate)} facts a second` : "";
  if (timeline.paused) return `Paused; ${count(timeline.waiting)} new${speed && `, ${speed}`}`;
  return speed && timeline.sampling ? `${speed}, drawn in samples` : speed;
}

async function download() {
  const pressed = byId("download");
  pressed.disabled = true;
  try {
    const blob = await collect(filters.query(), feed.last, (facts) => setText(pressed, `${count(facts)} facts…`));
    save(blob, `netsvc-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}.ndjson`);
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
  setText(byId("version"), answer.version);
  setText(byId("facts-status"), statusOf());
}

async function refreshClients() {
  filters.offer("name", (await clients.refresh()).map(({ name }) => name));
}

async function refreshConnections() {
  filters.offer("peer", (await connections.refresh()).map(({ address }) => address).filter(Boolean));
}

byId("pause").addEventListener("click", () => timeline.pause(!timeline.paused));
byId("clear").addEventListener("click", () => (detail.close(), timeline.clear()));
byId("download").addEventListener("click", download);
byId("clear-filters").addEventListener("click", () => filters.set({}));
body.addEventListener("click", (event) => {
  const row = event.target.closest("tr.fact");
  // Whoever selects text wants to copy it.
  if (row && String(getSelection()) === "") detail.open(timeline.factOf(row), row.querySelector("button"));
});
moveByKeys(body);
setInterval(() => {
  if (unannounced && !timeline.paused) say(`${count(unannounced)} new facts`);
  unannounced = 0;
}, ANNOUNCED);

filters.begin();
repeat(LISTENERS, refreshListeners, () => feed.suspect());
repeat(CONNECTIONS, refreshConnections);
repeat(CLIENTS, refreshClients);
