/** The page at /echo: a conversation with one service over WebSocket. */

import { askJSON, socketURL } from "./api.js";
import { byId, complain, element } from "./dom.js";
import { clock, counted } from "./format.js";
import { bytesFromHex, hexOf, textOf } from "./hex.js";
import { Log } from "./log.js";
import { showState } from "./state.js";

/** Bytes of a message that are shown. */
const SHOWN = 2_000;

/** Services that speak no WebSocket, being the web itself. */
const OTHERS = new Set(["web", "canvas"]);

const TRANSPORTS = new Set(["tcp", "tls", "unix", "endpoint", "ws", "wss"]);
const log = new Log(byId("messages"));
let sentAt = null;

/** The connection to the chosen service, open or to be; whoever sends while it is made waits for the same one. */
let current = null;

/** The connection to the chosen service; resolves once there is one, to null where there can be none. */
function connected() {
  if (!current || current.made.readyState > WebSocket.OPEN) current = connect();
  return current.open;
}

function connect() {
  const made = new WebSocket(socketURL(`/ws/${encodeURIComponent(byId("service").value)}`));
  made.binaryType = "arraybuffer";
  showState("connecting");
  const open = new Promise((resolve) => {
    made.onopen = () => {
      complain("");
      showState("live");
      resolve(made);
    };
    made.onmessage = ({ data }) => received(data);
    made.onclose = ({ code, reason }) => {
      if (current?.made === made) {
        current = null;
        showState("closed");
      }
      if (code === 1006) complain("The connection could not be opened, or was cut; WebSocket may not pass here.");
      else note(`closed by the service (${code}${reason && ` ${reason}`})`);
      resolve(null);
    };
  });
  return { made, open };
}

/** Have no connection any more, and hear nothing of it. */
function drop() {
  if (!current) return;
  const { made } = current;
  if (made.readyState === WebSocket.CONNECTING) note("not sent: another service was chosen before it could be");
  current = null;
  sentAt = null;
  made.onopen = made.onmessage = made.onclose = null;
  made.close();
  showState("closed");
}

async function send() {
  const data = dataOf(byId("message").value + (byId("newline").checked && !byId("newline").disabled ? "\n" : ""));
  if (data === null) {
    complain("That is no hex: expected pairs of 0-9 and a-f, such as 68 65 6c 6c 6f.");
    return;
  }
  complain("");
  const to = await connected();
  if (!to) return;
  sentAt = performance.now();
  to.send(data);
  show("sent", data, "");
}

function received(data) {
  const took = sentAt === null ? "" : `after ${(performance.now() - sentAt).toFixed(1)} ms`;
  sentAt = null;
  show("received", data, took);
}

function dataOf(text) {
  return byId("form").value === "text" ? text : bytesFromHex(text);
}

function show(kind, data, took) {
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : new Uint8Array(data);
  const part = bytes.subarray(0, SHOWN);
  const more = bytes.length > SHOWN ? "…" : "";
  const type = typeof data === "string" ? "text" : "binary";
  log.add(
    element(
      "div",
      { class: `message ${kind}` },
      element(
        "span",
        { class: "about" },
        element("span", { class: "kind" }, kind === "sent" ? "→ sent" : "← received"),
        ` ${clock(`${Date.now()}000000`)} · ${type}, ${counted(bytes.length, "byte")}${took && ` · ${took}`}`,
      ),
      element("bdi", { class: "text" }, textOf(part) + more),
      element("span", { class: "hex" }, `${hexOf(part)}${more && " …"}`),
    ),
  );
}

function note(text) {
  log.add(element("p", { class: "note" }, text));
}

async function offerServices() {
  const { listeners } = await askJSON("/api/listeners");
  const names = listeners.filter(({ transport }) => TRANSPORTS.has(transport)).map(({ service }) => service);
  const list = byId("service");
  for (const name of new Set(names)) {
    const known = [...list.options].some(({ value }) => value === name);
    if (!known && !OTHERS.has(name)) list.append(element("option", { value: name }, name));
  }
}

byId("send").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
byId("service").addEventListener("change", drop);
// Hex says every byte itself.
byId("form").addEventListener("change", () => (byId("newline").disabled = byId("form").value === "hex"));
offerServices().catch((error) => complain(`The services are not known: ${error.message}`));
