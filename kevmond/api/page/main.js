// Owns how the parts of the page are put together, and what happens when the token comes or goes.

import { byId } from "./dom.js";
import { showConsumers } from "./consumers.js";
import { Detail } from "./detail.js";
import { Feed } from "./feed.js";
import { Filter } from "./filter.js";
import { Header } from "./header.js";
import { Interfaces } from "./interfaces.js";
import { listen, makeHelp } from "./keys.js";
import { Ledger } from "./ledger.js";
import { Plot } from "./plot.js";
import { session } from "./session.js";
import { Status } from "./status.js";
import { Stream } from "./stream.js";
import * as tabs from "./tabs.js";
import { Webhooks } from "./webhooks.js";

const COMMAND = "kevmond open";
/** Failures in a row after which more than the light in the corner tells of them. */
const PATIENCE = 4;
let failures = 0;

const header = new Header();
const status = new Status();
const ledger = new Ledger();
const interfaces = new Interfaces();
const webhooks = new Webhooks();

const feed = new Feed({
  event(event) {
    stream.event(event);
    plot.event(event);
  },
  missed(gap) {
    stream.gap(gap);
    plot.load();
  },
  begun(after) {
    stream.begin(after);
    plot.load();
  },
  state(state, detail) {
    header.link(state, detail);
    if (state === "live") {
      document.title = `${detail.host} – kevmond`;
      header.notice("");
      failures = 0;
    } else if (state === "refused") filter.refused(detail);
    else if (state === "waiting" && (failures += 1) === PATIENCE) {
      header.notice(
        "The daemon does not answer here. It may be gone, or have another address: ",
        COMMAND,
      );
    }
  },
});

const filter = new Filter({
  newest: () => feed.newest ?? 0,
  changed: (rules) => feed.start(rules),
});
const plot = new Plot({ query: () => filter.query, cursor: () => feed.cursor });
const detail = new Detail({ filter, onClose: () => leave() });
const stream = new Stream({
  query: () => filter.query,
  onSelect: (event) => {
    if (event === null) detail.close();
    else if (detail.open) detail.show(event);
  },
});

/** Close the detail, give the focus back to its row, and let the stream go on. */
function leave() {
  const inside = byId("detail").contains(document.activeElement);
  stream.select(null);
  if (inside) byId("scroller").focus();
}

function open() {
  if (stream.selected === null) stream.move(1);
  if (stream.selected) detail.show(stream.selected);
}

/** Do what a key means among the events; returns whether it meant anything. */
function eventKey(key, at) {
  if (key === "/") {
    tabs.open("events");
    filter.focus();
    return true;
  }
  if (!tabs.isShown("events")) return false;
  const inTable = at === document.body || byId("scroller").contains(at);
  const acts = {
    j: () => stream.move(1),
    k: () => stream.move(-1),
    p: () => stream.pause(),
    g: () => stream.catchUp(),
  };
  if (key in acts) acts[key]();
  else if (key === "Escape") leave();
  else if (inTable && key === "ArrowDown" && stream.selected) stream.move(1);
  else if (inTable && key === "ArrowUp" && stream.selected) stream.move(-1);
  else if (inTable && key === "Enter" && !at.matches("button")) open();
  else return false;
  return true;
}

byId("rows").addEventListener("click", (event) => {
  if (event.target.closest("tr.event") && !String(getSelection())) open();
});

status.addEventListener("silent", () => header.silent());
status.addEventListener("status", () => {
  header.status(status.latest);
  showConsumers(status.latest.consumers);
  ledger.status(status.latest);
});

const views = { interfaces, delivery: webhooks, losses: ledger };
tabs.onShown((name) => views[name]?.shown());
tabs.begin();
makeHelp();
listen({
  event: eventKey,
  leaveFilter: () => byId("filter").blur(),
});

session.addEventListener("locked", () => {
  header.link("locked");
  header.notice(
    "The daemon was started anew and no longer takes this page's token. What is shown stays; go on with: ",
    COMMAND,
  );
});
session.addEventListener("opened", () => {
  header.notice("");
  document.body.classList.remove("keyless");
  if (feed.newest === null) feed.start(filter.rules);
  else feed.resume();
});

if (session.open) {
  feed.start(filter.rules);
  status.now();
} else {
  document.body.classList.add("keyless");
  header.link("locked");
  header.notice(
    "This page has no token, and the daemon answers nobody without one. Open it with: ",
    COMMAND,
  );
}
