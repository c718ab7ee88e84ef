/** The page at /chat. */

import { askJSON } from "./api.js";
import { byId, complain, element, setText } from "./dom.js";
import { clock } from "./format.js";
import { lineOf } from "./lines.js";
import { Log } from "./log.js";
import { Room } from "./room.js";
import { showState } from "./state.js";
import { shown } from "./text.js";

/** Milliseconds, and how often, to come back under a name that our own lost connection may still have. */
const AGAIN = 2_000;
const TIMES = 30;

/** Programs with which one chats by hand. */
const PROGRAMS = ["nc", "netsvc"];

const room = new Room(join, told, showState);
const log = new Log(byId("messages"));
const people = new Set();

/** The name asked for; it is our own once we are in. */
let name = "";
let inside = false;
let wasInside = false;
let tries = 0;
let again = null;

const WORDS = {
  here({ names }) {
    clearTimeout(again);
    inside = true;
    tries = 0;
    people.clear();
    names.forEach((one) => people.add(one));
    complain("");
    note(wasInside ? "You are back; what was said meanwhile is not here." : `You are here as ${shown(name)}.`);
    wasInside = true;
    byId("join").hidden = true;
    byId("room").hidden = false;
    byId("elsewhere").hidden = true;
    byId("text").focus();
    showPeople();
  },
  joined({ name: other }) {
    people.add(other);
    note(`${shown(other)} joined`);
    showPeople();
  },
  left({ name: other }) {
    people.delete(other);
    note(`${shown(other)} left`);
    showPeople();
  },
  said({ name: other, text, time }) {
    message(other, text, time);
  },
  error({ reason }) {
    if (inside || !wasInside) complain(shown(reason));
    if (inside) return;
    if (wasInside && tries < TIMES) {
      tries += 1;
      again = setTimeout(join, AGAIN);
    } else leave();
  },
};

function join() {
  clearTimeout(again);
  inside = false;
  room.send({ type: "join", name });
}

function told(one) {
  WORDS[one.type]?.(one);
}

function leave() {
  clearTimeout(again);
  inside = wasInside = false;
  room.leave();
  byId("join").hidden = false;
  byId("room").hidden = true;
  byId("join").elements.name.focus();
}

function message(who, text, time, own = false) {
  log.add(
    element(
      "div",
      { class: own ? "said own" : "said" },
      element("span", { class: "note" }, clock(time).slice(0, 8)),
      element("bdi", { class: "name" }, shown(who)),
      element("bdi", { class: "words" }, shown(text)),
    ),
  );
}

function note(text) {
  log.add(element("p", { class: "note" }, text));
}

function showPeople() {
  setText(byId("people-count"), String(people.size));
  const items = [...people].map((one) => element("bdi", {}, shown(one) + (one === name ? " (you)" : "")));
  byId("people").replaceChildren(...items.map((item) => element("li", {}, item)));
}

/** Say how to come from a terminal; where nobody knows, the page does without. */
async function offerLines() {
  const { listeners } = await askJSON("/api/listeners");
  const lines = listeners.filter(({ service }) => service === "chat").flatMap((listener) => listener.lines);
  const wanted = PROGRAMS.map((program) => lines.find((line) => line.program === program)).filter(Boolean);
  byId("elsewhere-lines").replaceChildren(...wanted.map(lineOf));
  byId("elsewhere").hidden = !wanted.length;
}

offerLines().catch(() => {});
byId("join").addEventListener("submit", (event) => {
  event.preventDefault();
  name = byId("join").elements.name.value.trim();
  complain("");
  if (name) room.enter();
});
byId("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const field = byId("text");
  if (!field.value) return;
  if (!inside || !room.send({ type: "say", text: field.value })) {
    complain("There is no connection to the room at the moment.");
    return;
  }
  complain("");
  message(name, field.value, `${Date.now()}000000`, true);
  field.value = "";
});
byId("leave").addEventListener("click", () => (note("You left."), leave()));
