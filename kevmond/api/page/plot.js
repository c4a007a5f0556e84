// Owns the plot of events a minute: the last hour, stacked by severity or by type, counted by the
// daemon once and from then on by the events that come.

import { get } from "./api.js";
import { byId, el, press, printable, setText, svg } from "./dom.js";
import { count, counted, minute } from "./format.js";
import { session } from "./session.js";
import { hideTip, showTip } from "./tip.js";

const MINUTE = 60000;
const MINUTES = 60;
const SEVERITIES = ["debug", "info", "notice", "warning", "error", "critical"];
const TYPES = 5;
const OTHER = "other";
const AGAIN_MS = 10000;

export class Plot {
  #node = byId("plot");
  #by = "severity";
  #wanted = "severity";
  #query;
  #cursor;
  #minutes = new Map();
  #since = null;
  #loading = 0;
  #cut = false;
  #drawn = null;
  #at = null;
  #columns = [];

  /** `query` returns the pairs of the filter in force, `cursor` the position up to which all came. */
  constructor({ query, cursor }) {
    this.#query = query;
    this.#cursor = cursor;
    const buttons = [byId("plot-severity"), byId("plot-type")];
    for (const [node, by] of [
      [buttons[0], "severity"],
      [buttons[1], "type"],
    ]) {
      node.addEventListener("click", () => {
        press(buttons, node);
        this.#wanted = by;
        this.load();
      });
    }
    this.#node.tabIndex = 0;
    this.#node.setAttribute("role", "img");
    this.#node.addEventListener("keydown", (event) => this.#key(event));
    this.#node.addEventListener("blur", () => this.#point(null));
    this.#node.addEventListener("pointermove", (event) => this.#hover(event));
    this.#node.addEventListener("pointerleave", () => this.#point(null));
    setInterval(() => document.hidden || this.#soon(), 10000); // the hour goes on without events
    document.addEventListener("visibilitychange", () => document.hidden || this.#soon());
  }

  /** Have the daemon count the last hour up to the cursor; what comes behind it is counted here. */
  async load() {
    const turn = (this.#loading += 1);
    const by = this.#wanted;
    this.#since = [];
    const query = [["since", "1h"], ["bucket", 60], ["by", by], ...this.#query()];
    query.push(["before", (this.#cursor() ?? 0) + 1]);
    const counts = await get("/v1/events/counts", query).catch(() => null);
    if (turn !== this.#loading) return;
    if (counts === null) {
      this.#since = null;
      setTimeout(() => turn === this.#loading && session.open && this.load(), AGAIN_MS);
      return;
    }
    this.#by = by;
    this.#minutes.clear();
    for (const { time, by: words } of counts.buckets) {
      const at = new Date(time).getTime();
      for (const [word, number] of Object.entries(words)) this.#add(at, word, number);
    }
    this.#cut = counts.cut === true;
    for (const event of this.#since) this.#count(event);
    this.#since = null;
    this.#soon();
  }

  /** Count an event that came. */
  event(event) {
    if (this.#since !== null) this.#since.push(event);
    this.#count(event);
    this.#soon();
  }

  #count(event) {
    this.#add(new Date(event.time).getTime(), this.#by === "type" ? event.type : event.severity, 1);
  }

  #add(time, word, number) {
    const at = Math.floor(time / MINUTE);
    if (!this.#minutes.has(at)) this.#minutes.set(at, new Map());
    const words = this.#minutes.get(at);
    words.set(word, (words.get(word) ?? 0) + number);
  }

  // ---------------------------------------------------------------- drawing

  #soon() {
    this.#drawn ??= setTimeout(() => {
      this.#drawn = null;
      this.#draw();
    }, 200);
  }

  #draw() {
    const last = Math.floor(Date.now() / MINUTE);
    for (const at of this.#minutes.keys()) if (at <= last - MINUTES) this.#minutes.delete(at);
    const words = this.#words();
    this.#columns = Array.from({ length: MINUTES }, (_, index) => {
      const at = last - MINUTES + 1 + index;
      const parts = words.map((word) => [word, this.#number(at, word, words)]);
      return { at, parts, sum: parts.reduce((sum, [, number]) => sum + number, 0) };
    });
    const total = this.#columns.reduce((sum, { sum: part }) => sum + part, 0);
    const most = Math.max(...this.#columns.map(({ sum }) => sum));
    this.#node.replaceChildren(this.#picture(words, ceiling(most)));
    this.#legend(words);
    const cut = this.#cut ? ", not all of the hour counted" : "";
    setText(byId("plot-total"), `${count(total)} in the last hour${cut}`);
    this.#node.setAttribute(
      "aria-label",
      `Events a minute: ${counted(total, "event")} in the last hour, at most ${count(most)} a minute. Arrow keys go from minute to minute.`,
    );
    if (this.#at !== null) this.#point(this.#at, { again: true });
  }

  #number(at, word, words) {
    const there = this.#minutes.get(at);
    if (there === undefined) return 0;
    if (word !== OTHER) return there.get(word) ?? 0;
    let sum = 0;
    for (const [each, number] of there) if (!words.includes(each)) sum += number;
    return sum;
  }

  /** What is stacked, from the bottom up. */
  #words() {
    if (this.#by === "severity") return SEVERITIES;
    const sums = new Map();
    for (const words of this.#minutes.values()) {
      for (const [word, number] of words) sums.set(word, (sums.get(word) ?? 0) + number);
    }
    const sorted = [...sums].sort((one, other) => other[1] - one[1]).map(([word]) => word);
    return sorted.length > TYPES ? [...sorted.slice(0, TYPES), OTHER] : sorted;
  }

  #class(word, words) {
    return this.#by === "severity" ? `bar ${word}` : `bar type-${words.indexOf(word)}`;
  }

  #picture(words, top) {
    const picture = svg("svg", { width: "100%", height: "100%", "aria-hidden": "true" });
    for (const part of [0.5, 1]) {
      const y = `${100 - 100 * part}%`;
      picture.append(svg("line", { class: "grid", x1: "0", x2: "100%", y1: y, y2: y }));
    }
    const width = 100 / MINUTES;
    this.#columns.forEach(({ parts, sum }, index) => {
      let base = 0;
      const column = svg("g", { class: "column" });
      column.append(
        svg("rect", {
          class: "hit",
          x: `${index * width}%`,
          y: "0",
          width: `${width}%`,
          height: "100%",
        }),
      );
      for (const [word, number] of sum ? parts : []) {
        if (number === 0) continue;
        const height = Math.max(1.2, (100 * number) / top); // one among thousands is still seen
        const box = { x: `${(index + 0.12) * width}%`, width: `${0.76 * width}%` };
        base += height;
        column.append(
          svg("rect", {
            class: this.#class(word, words),
            ...box,
            y: `${100 - base}%`,
            height: `${height}%`,
          }),
        );
      }
      picture.append(column);
    });
    const scale = [1, 0.5].map((part) =>
      el("span", { class: part === 1 ? "whole" : "half" }, count(top * part)),
    );
    const ticks = el("div", { class: "ticks" });
    this.#columns.forEach(({ at }, index) => {
      if (at % 10 !== 0) return;
      const tick = el("span", {}, minute(at * MINUTE));
      tick.style.left = `${(index + 0.5) * width}%`;
      ticks.append(tick);
    });
    return el("div", { class: "picture" }, picture, ...scale, ticks);
  }

  #legend(words) {
    const there = words.filter((word) =>
      this.#columns.some(({ parts }) => parts.some(([each, number]) => each === word && number)),
    );
    byId("plot-legend").replaceChildren(
      ...there.map((word) =>
        el("span", {}, el("i", { class: this.#class(word, words) }), printable(word)),
      ),
    );
  }

  // ---------------------------------------------------------------- looking closer

  #key(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1 };
    if (event.key === "Escape" && this.#at !== null) this.#point(null);
    else if (event.key in steps && this.#columns.length) {
      const last = this.#columns.length - 1;
      this.#point(
        this.#at === null ? last : Math.min(last, Math.max(0, this.#at + steps[event.key])),
      );
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #hover(event) {
    const { left, width } = this.#node.getBoundingClientRect();
    const index = Math.floor(((event.clientX - left) / width) * MINUTES);
    if (index >= 0 && index < this.#columns.length) this.#point(index);
  }

  #point(index, { again = false } = {}) {
    if (index === this.#at && !again) return;
    this.#at = index;
    const columns = this.#node.querySelectorAll(".column");
    columns.forEach((column, at) => column.classList.toggle("here", at === index));
    if (index === null) return hideTip();
    const { at, parts, sum } = this.#columns[index];
    const told = parts.filter(([, number]) => number).reverse();
    showTip(columns[index].getBoundingClientRect(), [
      `${minute(at * MINUTE)} – ${counted(sum, "event")}`,
      ...told.map(([word, number]) => `${count(number)} ${printable(word)}`),
    ]);
  }
}

/** The least round figure that is not below the highest column. */
function ceiling(most) {
  if (most <= 4) return 4;
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 4, 5, 6, 8, 10].map((step) => step * power).find((top) => top >= most);
}
