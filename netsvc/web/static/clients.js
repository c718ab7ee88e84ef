/** The client list: who has registered, and from where. */

import { askJSON } from "./api.js";
import { button, byId, element, setText } from "./dom.js";
import { count, place } from "./format.js";
import { follow } from "./list.js";
import { shown } from "./text.js";

/** Clients that are shown. */
const SHOWN = 100;

export class Clients {
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
    const clients = Object.values((await askJSON("/api/clients")).clients);
    setText(byId("clients-count"), count(clients.length));
    setText(byId("clients-more"), clients.length > SHOWN ? `${SHOWN} of them are shown.` : "");
    byId("clients-none").hidden = clients.length > 0;
    follow(byId("clients"), clients.slice(0, SHOWN), ({ name }) => name, (client) => this.#make(client));
    return clients;
  }

  #make({ name }) {
    const where = element("bdi", { class: "peer" });
    const node = element(
      "li",
      {},
      element("div", { class: "head" }, element("bdi", { class: "name" }, shown(name)), where),
      button("Follow", () => this.#filter({ name }), { "aria-label": `Follow ${shown(name)}` }),
    );
    const update = ({ address, port }) => setText(where, shown(place(address, port)));
    return { node, update };
  }
}
