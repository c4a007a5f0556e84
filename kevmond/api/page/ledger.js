// Owns the view of losses: whether every event is accounted for, and if not, what was lost and why.

import { get } from "./api.js";
import { byId, el, hintNode, keyed, printable, setText, show, withCode } from "./dom.js";
import { clock, count, counted, moment } from "./format.js";
import { Poll } from "./poll.js";
import { isShown } from "./tabs.js";
import { severityPill } from "./words.js";

const EVERY_MS = 5000;
const MOST = 100;
const TYPES = ["kevmond.loss", "kevmond.missed"];

/** What the sources of a loss mean (docs/loss.md). */
const SOURCES = {
  "id-gap": "the kernel posted them, and their ids never came",
  tail: "at the end of a burst: only the kernel's last id told of them",
  "socket-counter": "the kernel had no space for them in our socket's buffer",
  "system-counter": "some listener of this machine lost them; whether we did cannot be told",
  journal: "the journal could not keep them, or had to let them go",
  sink: "a sink could not deliver them and gave them up",
};
const READING = new Set(["id-gap", "tail", "socket-counter"]);

export class Ledger {
  #status = null;
  #reports = [];
  #poll = new Poll(
    () => this.#load(),
    EVERY_MS,
    () => isShown("losses") && this.#status !== null,
  );

  /** Ask now, because the view was opened. */
  shown() {
    this.#poll.now();
    if (this.#status !== null) this.#draw();
  }

  /** Show a status. */
  status(status) {
    const first = this.#status === null;
    this.#status = status;
    const lost = lostOf(status);
    const badge = byId("losses-badge");
    setText(badge, lost ? count(lost) : "");
    show(badge, lost > 0);
    if (first) this.#poll.now();
    if (isShown("losses")) this.#draw();
  }

  async #load() {
    const ask = (type) => get("/v1/events", { type, order: "desc", limit: MOST });
    const found = await Promise.all(TYPES.map(ask));
    this.#reports = found
      .flatMap(({ events }) => events)
      .filter(({ type }) => TYPES.includes(type))
      .sort((one, other) => other.seq - one.seq)
      .slice(0, MOST);
    this.#draw();
  }

  #draw() {
    this.#verdict();
    const rows = accountRows(this.#status, this.#bySource());
    keyed(byId("account"), rows, ([key]) => key, makeRow, updateRow);
    keyed(
      byId("reports"),
      this.#reports,
      (event) => event.id,
      report,
      () => {},
    );
    show(byId("reports-empty"), this.#reports.length === 0);
    setText(byId("reports-from"), this.#reports.length ? "newest first, from the journal" : "");
  }

  /** What was lost before it could be read since this run began, by how it was seen. */
  #bySource() {
    const sums = new Map();
    const begun = new Date(this.#status.daemon.started).getTime();
    for (const { type, time, payload } of this.#reports) {
      if (type !== "kevmond.loss" || new Date(time).getTime() < begun) continue;
      if (!READING.has(payload?.source)) continue;
      sums.set(payload.source, (sums.get(payload.source) ?? 0) + payload.lost - payload.late);
    }
    return [...sums].filter(([, number]) => number > 0);
  }

  #verdict() {
    const { events, daemon, warnings } = this.#status;
    const lost = lostOf(this.#status);
    const missed = events.missed_before_start;
    byId("verdict").dataset.state = lost ? "lost" : missed ? "missed" : "whole";
    const every = "Everything accounted for";
    setText(byId("verdict-title"), lost ? `${count(lost)} lost in this run` : every);
    const since = `since ${moment(daemon.started)}`;
    const told = events.lost
      ? `${counted(events.read, "event")} read ${since}, ${count(events.lost)} lost before that.`
      : `Every event that the kernel posted to this daemon ${since} was read: ${count(events.read)}.`;
    const before = missed
      ? ` ${counted(missed, "event")} went by before, while no daemon ran.`
      : missed === null
        ? " What went by before, while no daemon ran, cannot be known."
        : "";
    setText(byId("verdict-text"), told + before);
    const whys = warnings.filter(({ what }) => what === "loss");
    keyed(
      byId("verdict-whys"),
      whys,
      ({ text }) => text,
      why,
      () => {},
    );
  }
}

/** All that was lost in this run: before it was read, in the journal, on the way to a consumer. */
function lostOf({ events, journal, consumers }) {
  const ways = [events.lost, journal.lost, journal.damaged, journal.dead_letters_lost];
  for (const { dropped, missed } of consumers) ways.push(dropped, missed);
  return ways.reduce((sum, number) => sum + (number ?? 0), 0);
}

function accountRows({ events, journal, consumers }, sources) {
  const bad = (number) => (number ? "bad" : "");
  const rows = [
    ["posted", "Posted to this daemon", events.posted, ""],
    ["read", "Read", events.read, ""],
    ["known", "of these known by name", events.known, "part"],
    ["unknown", "of these of no known kind", events.unknown, "part"],
    ["malformed", "of these not as their headers say", events.malformed, "part"],
    ["awaited", "Awaited: posted, not read, not given up", events.awaited, ""],
    ["lost", "Lost before they were read", events.lost, bad(events.lost)],
    ...sources.map(([source, number]) => [source, `${source}: ${SOURCES[source]}`, number, "part"]),
    ["late", "Came after they were given up: no loss", events.late, ""],
    [
      "missed",
      "Missed while no daemon ran",
      events.missed_before_start,
      events.missed_before_start ? "warn" : "",
    ],
    ["big", "Too large for the kernel to post to anybody", events.too_big, ""],
    [
      "journal",
      "Lost in the journal",
      (journal.lost ?? 0) + (journal.damaged ?? 0),
      bad(journal.lost || journal.damaged),
    ],
  ];
  for (const { name, dropped, missed } of consumers) {
    if (dropped) rows.push([`dropped ${name}`, `Given up by ${name}`, dropped, "bad"]);
    if (missed)
      rows.push([
        `missed ${name}`,
        `Gone from the journal before ${name} took them`,
        missed,
        "bad",
      ]);
  }
  const always = new Set(["posted", "read", "lost", "missed", "journal"]);
  return rows.filter(([key, , number]) => always.has(key) || number);
}

function makeRow() {
  return el("tr", {}, el("th", { scope: "row" }), el("td", { class: "number" }));
}

function updateRow(row, [, words, number, kind]) {
  row.className = kind;
  setText(row.children[0], printable(words));
  setText(row.children[1], number === null ? "not known" : count(number));
}

function why({ text, hint }) {
  return el("li", {}, ...withCode(text), hintNode(hint));
}

function report(event) {
  const payload = event.payload ?? {};
  const lost = event.type === "kevmond.loss";
  const number = lost ? payload.lost : payload.count;
  const what = lost ? "lost" : "missed";
  const title =
    typeof number === "number"
      ? `${counted(number, "event")} ${what}`
      : `an unknown number ${what}`;
  const parts = [lost ? (SOURCES[payload.source] ?? payload.source) : "posted while no daemon ran"];
  if (payload.first_id) parts.push(`ids ${payload.first_id} to ${payload.last_id}`);
  if (payload.consumer) parts.push(`consumer ${payload.consumer}`);
  if (payload.late) parts.push(`${count(payload.late)} of those before came late after all`);
  return el(
    "li",
    {},
    el("span", { class: "time", title: event.time }, clock(event.time, { precise: false })),
    severityPill(event.severity),
    el("strong", {}, title),
    el("span", { class: "why" }, printable(parts.join("; "))),
    payload.detail ? el("span", { class: "hint" }, ...withCode(payload.detail)) : null,
  );
}
