/** The page at /canvas. */

import { say } from "./announce.js";
import { socketURL } from "./api.js";
import { byId, complain } from "./dom.js";
import { save } from "./download.js";
import { Pen } from "./pen.js";
import { Picture } from "./picture.js";
import { Backoff } from "./retry.js";
import { showState } from "./state.js";

const surface = byId("picture");
const picture = new Picture(surface);
const cursor = byId("cursor");
let socket = null;

const WORDS = {
  picture({ strokes }) {
    picture.clear();
    strokes.forEach((stroke) => picture.draw(stroke));
  },
  stroke(stroke) {
    picture.draw(stroke);
  },
  clear() {
    picture.clear();
    say("The picture was cleared");
  },
  error({ reason }) {
    complain(`Not drawn: ${reason}`);
  },
};

/** Be connected for ever; each connection begins with the whole picture, so nothing is missing after a break. */
async function connect() {
  const backoff = new Backoff();
  showState("connecting");
  for (;;) {
    const opened = await draw(backoff);
    showState("lost");
    if (!opened) complain("Nothing is drawn for the others at the moment: the WebSocket does not open.");
    await backoff.wait();
  }
}

function draw(backoff) {
  return new Promise((resolve) => {
    let opened = false;
    const made = new WebSocket(socketURL("/ws/canvas"));
    made.onopen = () => {
      opened = true;
      socket = made;
      backoff.reset();
      complain("");
      showState("live");
    };
    made.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      WORDS[message.type]?.(message);
    };
    made.onclose = () => {
      socket = null;
      resolve(opened);
    };
  });
}

function drawn(points) {
  // Without the others it would be another picture.
  if (!socket) return;
  const stroke = { points, color: byId("color").value, width: Number(byId("width").value) };
  picture.draw(stroke);
  socket.send(JSON.stringify({ type: "stroke", ...stroke }));
}

function moved([x, y]) {
  cursor.hidden = false;
  cursor.style.left = `${x * 100}%`;
  cursor.style.top = `${y * 100}%`;
}

new Pen(surface, drawn, moved);
surface.addEventListener("blur", () => (cursor.hidden = true));
surface.addEventListener("pointerdown", () => (cursor.hidden = true));
byId("clear").addEventListener("click", () => {
  if (!socket) return;
  picture.clear();
  socket.send(JSON.stringify({ type: "clear" }));
});
byId("save").addEventListener("click", () => surface.toBlob((blob) => save(blob, "canvas.png")));
connect();
