/**
 * The chat room, however it can be reached: over WebSocket, or by long polling where WebSocket does not pass.
 *
 * One loop, as long as somebody wants to be there: connect, tell and be told until that ends, connect again.
 */

import { ask, askJSON, RefusedError, socketURL } from "./api.js";
import { Backoff, sleep } from "./retry.js";

/** Seconds that one question of long polling waits. */
const WAIT = 25;

/** WebSockets in a row that did not last, in milliseconds, after which it is polled. */
const FAILURES = 2;
const LASTING = 3_000;

export class Room {
  #opened;
  #told;
  #state;
  #send = null;
  #ending = new AbortController();

  /**
   * @param {() => void} opened called when what is sent gets there, each time that it does again.
   * @param {(message: Object) => void} told given each message that comes.
   * @param {(state: string, text: string) => void} state told how it goes; see state.js.
   */
  constructor(opened, told, state) {
    this.#opened = opened;
    this.#told = told;
    this.#state = state;
  }

  /** Be there. */
  enter() {
    this.#stop();
    this.#ending = new AbortController();
    this.#run(this.#ending.signal);
  }

  /** Be there no more. */
  leave() {
    this.#stop();
    this.#state("closed", "");
  }

  /**
   * Tell the room something.
   *
   * @returns {boolean} whether there is a way to it.
   */
  send(message) {
    this.#send?.(JSON.stringify(message));
    return this.#send !== null;
  }

  #stop() {
    this.#ending.abort();
    this.#send = null;
  }

  async #run(signal) {
    const backoff = new Backoff();
    let failures = 0;
    this.#state("connecting", "");
    while (!signal.aborted) {
      if (failures < FAILURES) failures = (await this.#talk(signal)) ? 0 : failures + 1;
      // What there is to send with then belongs to whoever has come since.
      if (signal.aborted) return;
      this.#send = null;
      try {
        // Whether it is the daemon that is missing, or the WebSocket.
        if (failures >= FAILURES) await this.#poll(signal);
        else await ask("/readyz", { signal });
        backoff.reset();
      } catch (error) {
        if (signal.aborted) return;
        const refused = error instanceof RefusedError && error.status !== 404;
        this.#state(refused ? "refused" : "lost", refused ? error.message : "");
        // It may be another daemon, and another way to it, when it is back.
        if (!(error instanceof RefusedError)) failures = 0;
        this.#send = null;
        await backoff.wait(signal);
      }
    }
  }

  /** Over WebSocket, until that ends; tells whether it lasted. */
  #talk(signal) {
    const socket = new WebSocket(socketURL("/ws/chat"));
    const close = () => socket.close();
    signal.addEventListener("abort", close, { once: true });
    return new Promise((resolve) => {
      let began = null;
      socket.onopen = () => {
        if (signal.aborted) return;
        began = Date.now();
        this.#send = (text) => socket.send(text);
        this.#state("live", "");
        this.#opened();
      };
      socket.onmessage = ({ data }) => {
        if (!signal.aborted) this.#told(JSON.parse(data));
      };
      socket.onclose = () => {
        signal.removeEventListener("abort", close);
        resolve(began !== null && Date.now() - began >= LASTING);
      };
    });
  }

  /** By long polling, until that fails. */
  async #poll(signal) {
    const { session } = await askJSON("/api/chat", { method: "POST", signal });
    const path = `/api/chat/${encodeURIComponent(session)}`;
    const leave = () => ask(path, { method: "DELETE", keepalive: true }).catch(() => {});
    const over = new AbortController();
    signal.addEventListener("abort", leave, { once: true, signal: over.signal });
    // Nothing else tells the others when the page is closed.
    addEventListener("pagehide", leave, { once: true, signal: over.signal });
    try {
      await this.#converse(path, signal);
    } finally {
      over.abort();
    }
  }

  async #converse(path, signal) {
    // One after the other, for they must not overtake each other.
    let sent = Promise.resolve();
    this.#send = (body) => {
      sent = sent.then(() => ask(path, { method: "POST", body, signal })).catch(() => {});
    };
    this.#state("polling", "");
    this.#opened();
    let after = 0;
    for (;;) {
      const query = `?after=${after}&wait=${WAIT}`;
      const { messages, last } = await askJSON(path + query, { signal, patience: WAIT * 1000 + 10_000 });
      after = last;
      messages.forEach((message) => this.#told(message));
      if (signal.aborted) return;
      await sleep(0, signal);
    }
  }
}
