/** The open connections. */

import { askJSON } from "./api.js";
import { button, byId, element, setText } from "./dom.js";
import { count, duration, millis, place, size } from "./format.js";
import { follow } from "./list.js";
import { shown } from "./text.js";

/** Connections that are shown. */
const SHOWN = 100;

export class Connections {
  #filter;

  /** @param {(values: Object) => void} filter shows the facts of one. */
  constructor(filter) {
    this.#filter = filter;
  }

  /**
   * Show them as they are now.
   *
   * @returns {Promise<Object[]>} all of them.
   */
  async refresh() {
    const { connections } = await askJSON("/api/connections");
    // The page's own connections come and go and say nothing.
    const others = connections.filter(({ service }) => service !== "web");
    const newest = others.slice(-SHOWN).reverse();
    setText(byId("connections-count"), count(others.length));
    setText(byId("connections-more"), others.length > SHOWN ? `The newest ${SHOWN} are shown.` : "");
    byId("connections-none").hidden = others.length > 0;
    follow(byId("connections"), newest, ({ connection }) => String(connection), (one) => this.#make(one));
    return others;
  }

  #make({ connection, service, transport, address, port }) {
    const peer = element("bdi", { class: "peer" });
    const traffic = element("span", { class: "traffic" });
    const node = element(
      "li",
      {},
      element(
        "div",
        { class: "head" },
        element("span", { class: "service" }, service),
        " ",
        element("span", { class: "connection" }, `${transport} #${connection}`),
        peer,
      ),
      traffic,
      button("Follow", () => this.#filter({ connection }), { "aria-label": `Follow connection ${connection}` }),
    );
    const update = (now) => {
      setText(peer, shown(now.name ? `${now.name} (${place(address, port)})` : place(address, port)));
      const open = duration(Math.max(0, Math.floor((Date.now() - millis(now.opened)) / 1000)));
      setText(traffic, `${size(now.bytes_in)} in, ${size(now.bytes_out)} out, for ${open}`);
    };
    return { node, update };
  }
}
