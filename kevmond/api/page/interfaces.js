// Owns the view of interfaces: the lanes, and the table of how each interface is now.

import { get } from "./api.js";
import { byId, el, keyed, printable, setText, show } from "./dom.js";
import { ago, clock, count, moment } from "./format.js";
import { Lanes } from "./lanes.js";
import { Poll } from "./poll.js";
import { isShown } from "./tabs.js";
import { stateWord } from "./words.js";

const EVERY_MS = 5000;

export class Interfaces {
  #lanes = new Lanes(() => this.#poll.now());
  #poll = new Poll(
    () => this.#load(),
    EVERY_MS,
    () => isShown("interfaces"),
  );

  /** Ask now, because the view was opened. */
  shown() {
    this.#poll.now();
  }

  async #load() {
    const { interfaces, looked_from: from } = await get("/v1/interfaces");
    await this.#lanes.load(from);
    setText(byId("now-from"), from ? `as known since ${moment(from)}` : "");
    keyed(byId("now"), interfaces, (each) => each.name, makeRow, updateRow);
    show(byId("now-empty"), interfaces.length === 0);
  }
}

function makeRow() {
  const cell = (name) => el("td", { class: name });
  return el("tr", {}, ...["name", "state", "since", "addresses", "number", "last"].map(cell));
}

function updateRow(row, each) {
  const [name, state, since, addresses, mtu, last] = row.children;
  const word = each.state;
  setText(name, printable(each.name));
  if (state.textContent !== word) state.replaceChildren(stateWord(word));
  const changed = sinceOf(each);
  setText(since, changed ? clock(changed, { precise: false }) : "–");
  since.title = changed ? `${moment(changed)}, ${ago(changed)}` : "";
  const told = JSON.stringify([each.addresses, each.link_address]);
  if (addresses.dataset.told !== told) {
    addresses.dataset.told = told;
    const nodes = each.addresses.map(addressNode);
    if (each.link_address)
      nodes.push(el("span", { class: "address muted" }, printable(each.link_address)));
    addresses.replaceChildren(...nodes.flatMap((node) => [node, " "]));
  }
  setText(mtu, count(each.mtu));
  row.title = each.unsure.length ? `may have changed since: ${each.unsure.join(", ")}` : "";
  const event = each.last_event;
  setText(last, event ? `${printable(event.type)} ${clock(event.time, { precise: false })}` : "–");
}

/** When it became what it is. */
function sinceOf({ state, since }) {
  if (state === "gone") return since.gone;
  return since.running ?? since.up ?? since.present;
}

function addressNode({ address, since }) {
  const title = since ? `since ${moment(since)}` : null;
  return el("span", { class: "address", title }, printable(address));
}
