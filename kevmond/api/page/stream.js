// Owns the table of live events: what it shows, what waits, and why it waits.  The newest is on
// top; rows come and go only while nobody is reading further down.

import { get } from "./api.js";
import { byId, el, setText, show } from "./dom.js";
import { count, counted } from "./format.js";
import { eventRow, gapRow, gapText } from "./rows.js";

/** Rows that there are at most. */
export const MOST = 500;
const FIRST = 200;
const MORE = 100;
/** Rows change this often at most: a burst is no flicker. */
const BREATH_MS = 150;
const AT_TOP = 8;
const FEW = 12;

export class Stream {
  #body = byId("rows");
  #scroller = byId("scroller");
  #waiting = [];
  #waits = 0;
  #paused = false;
  #timer = null;
  #flushed = 0;
  #selected = null;
  #shown = new WeakMap();
  #turn = 0;
  #more = false;
  #next = null;
  #query = () => [];
  #onSelect;

  /** `query` returns the pairs of the filter in force; `onSelect` is told the event or null. */
  constructor({ query, onSelect }) {
    this.#query = query;
    this.#onSelect = onSelect;
    this.#scroller.addEventListener("scroll", () => this.#settle(), { passive: true });
    this.#body.addEventListener("click", (click) => {
      const row = click.target.closest("tr.event");
      if (row && !String(getSelection())) this.select(row);
    });
    byId("newer").addEventListener("click", () => this.catchUp());
    byId("older").addEventListener("click", () => this.#older());
    byId("pause").addEventListener("click", () => this.pause(!this.#paused));
  }

  // ---------------------------------------------------------------- what comes

  /** Forget everything shown and fetch what stands before position `after`. */
  async begin(after) {
    const turn = (this.#turn += 1);
    this.select(null);
    this.#waiting = [];
    this.#waits = 0;
    this.#body.replaceChildren();
    this.#more = false;
    this.#settle();
    if (after > 0) await this.#fetch(after + 1, FIRST, turn);
    this.#settle();
  }

  /** Take an event from the stream. */
  event(event) {
    this.#take(event);
  }

  /** Take a gap in the stream. */
  gap(gap) {
    this.#take({ gap });
    this.say(gapText(gap));
  }

  #take(entry) {
    this.#waiting.push(entry);
    this.#waits += 1;
    if (this.#waiting.length >= 2 * MOST) this.#waiting = this.#waiting.slice(-MOST);
    this.#settle();
  }

  get #held() {
    return this.#paused || this.#selected !== null || this.#scroller.scrollTop > AT_TOP;
  }

  #settle() {
    if (this.#waits && !this.#held) {
      const wait = Math.max(0, this.#flushed + BREATH_MS - performance.now());
      this.#timer ??= setTimeout(() => this.#flush(), wait);
    }
    this.#tell();
  }

  #flush(force = false) {
    clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#held && !force) return this.#tell();
    const entries = this.#waiting.slice(-MOST).reverse();
    const few = entries.length <= FEW;
    this.#waiting = [];
    this.#waits = 0;
    this.#flushed = performance.now();
    const rows = entries.map((entry) => this.#row(entry));
    if (few) for (const row of rows) row.classList.add("fresh");
    this.#body.prepend(...rows);
    this.#trim();
    this.#tell();
  }

  #row(entry) {
    if (entry.gap) return gapRow(entry.gap);
    const row = eventRow(entry);
    this.#shown.set(row, entry);
    return row;
  }

  #trim() {
    while (this.#body.childElementCount > MOST) {
      if (this.#body.lastElementChild === this.#selected) this.select(null);
      this.#body.lastElementChild.remove();
    }
  }

  // ---------------------------------------------------------------- what was before

  async #fetch(before, limit, turn) {
    const query = [["before", before], ["order", "desc"], ["limit", limit], ...this.#query()];
    try {
      const { events, last, more } = await get("/v1/events", query);
      if (turn !== this.#turn) return;
      const space = MOST - this.#body.childElementCount;
      this.#body.append(...events.slice(0, space).map((event) => this.#row(event)));
      this.#next = last;
      this.#more = more && last !== null;
    } catch (error) {
      if (turn === this.#turn) this.say(`Earlier events cannot be shown: ${error.message}`);
    }
  }

  async #older() {
    byId("older").disabled = true;
    const space = Math.min(MORE, MOST - this.#body.childElementCount);
    await this.#fetch(this.#next, space, this.#turn);
    byId("older").disabled = false;
    this.#tell();
  }

  // ---------------------------------------------------------------- pausing and choosing

  /** Stop showing what comes, or go on. */
  pause(paused = !this.#paused) {
    this.#paused = paused;
    const node = byId("pause");
    node.setAttribute("aria-pressed", String(paused));
    setText(node, paused ? "Resume" : "Pause");
    this.say(paused ? "Paused" : "Resumed");
    this.#settle();
  }

  /** Show what waits now, from the top; a pause goes on after it. */
  catchUp() {
    this.select(null);
    this.#scroller.scrollTop = 0;
    this.#flush(true);
  }

  /** Choose a row; null chooses none. */
  select(row) {
    if (row === this.#selected) return;
    this.#selected?.setAttribute("aria-selected", "false");
    this.#selected?.setAttribute("tabindex", "-1");
    this.#selected = row;
    if (row !== null) {
      row.setAttribute("aria-selected", "true");
      row.setAttribute("tabindex", "0");
      row.focus({ preventScroll: true });
      row.scrollIntoView({ block: "nearest" });
    }
    this.#onSelect(this.selected);
    this.#settle();
  }

  /** The event that is chosen; null if none is. */
  get selected() {
    return this.#selected && this.#shown.get(this.#selected);
  }

  /** Choose the next row down (1) or up (-1). */
  move(step) {
    const rows = this.#events();
    const at = rows.indexOf(this.#selected);
    const next = at < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, at + step));
    if (rows.length) this.select(rows[next]);
  }

  #events() {
    return Array.from(this.#body.querySelectorAll("tr.event"));
  }

  // ---------------------------------------------------------------- telling

  /** Tell in words what eyes see: for those who hear the page. */
  say(text) {
    setText(byId("said"), text);
  }

  #tell() {
    const held = this.#held && this.#waits > 0;
    const kind = this.#paused ? "waiting" : "new";
    setText(byId("newer"), held ? `↑ ${counted(this.#waits, `${kind} event`)}` : "");
    show(byId("newer"), held);
    const shown = this.#body.childElementCount;
    const filtered = this.#query().length > 0;
    show(byId("empty"), shown === 0);
    setText(
      byId("empty"),
      filtered ? "Nothing passes this filter yet." : "Waiting for the first event.",
    );
    show(byId("foot"), shown > 0 || this.#more);
    const full = shown >= MOST;
    setText(byId("foot-text"), this.#footer(shown, full));
    show(byId("older"), this.#more && !full);
  }

  #footer(shown, full) {
    if (full) return `The newest ${count(shown)}. Further back: kevmond history`;
    return this.#more ? `The newest ${count(shown)}.` : `${counted(shown, "row")}: all there is.`;
  }
}
