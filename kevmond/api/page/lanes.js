// Owns the swim lanes of the interfaces: over which stretch of time, and the box that tells what
// happened where.

import { get } from "./api.js";
import { byId, el, press } from "./dom.js";
import { axis, groupNode } from "./lane.js";
import { hideTip, showTip } from "./tip.js";

const RANGES = [
  ["15m", 15],
  ["1h", 60],
  ["6h", 360],
  ["24h", 1440],
];
/** Minutes between ticks, by the minutes of the range. */
const TICKS = { 15: 3, 60: 10, 360: 60, 1440: 240 };
const MINUTE = 60000;

export class Lanes {
  #node = byId("lanes");
  #range = RANGES[1];
  #seen = "";
  #pointed = null;
  #buttons;
  #chosen = false;
  #changed;

  /** `changed` is called when another range is wanted. */
  constructor(changed) {
    this.#changed = changed;
    this.#buttons = RANGES.map((range) => {
      const node = el(
        "button",
        { type: "button", "aria-pressed": String(range === this.#range) },
        range[0],
      );
      node.addEventListener("click", () => {
        this.#choose(range);
        this.#changed();
      });
      return node;
    });
    byId("ranges").append(...this.#buttons);
    this.#node.addEventListener("pointerover", (event) => this.#over(event.target.closest("rect")));
    this.#node.addEventListener("pointerleave", () => this.#over(null));
    this.#node.addEventListener("focusout", () => this.#over(null));
    this.#node.addEventListener("keydown", (event) => this.#key(event));
  }

  #choose(range) {
    this.#chosen = true;
    this.#range = range;
    press(this.#buttons, this.#buttons[RANGES.indexOf(range)]);
  }

  /** Ask for the lanes and draw them; nothing is known of the time before `knownFrom`. */
  async load(knownFrom) {
    if (!this.#chosen && Date.now() - new Date(knownFrom).getTime() < RANGES[0][1] * MINUTE) {
      this.#choose(RANGES[0]); // of an hour all but the end would be empty
    }
    const range = this.#range;
    const answer = await get("/v1/interfaces/timeline", { since: range[0] });
    if (range === this.#range) this.#draw(answer, range[1]);
  }

  #draw({ since, until, lanes }, minutes) {
    const from = new Date(since).getTime();
    const to = new Date(until).getTime();
    const place = (time) => Math.min(100, Math.max(0, (100 * (time - from)) / (to - from)));
    // Whoever goes through the lanes by keyboard keeps the place: nothing is drawn under a pointer.
    const structure = JSON.stringify(
      lanes.map(({ interface: name, kind, label, spans }) => [name, kind, label, spans.length]),
    );
    if (this.#pointed !== null && structure === this.#seen) return;
    this.#seen = structure;
    const scale = { place, ticks: ticksOf(from, to, minutes), since, now: to };
    const nodes = [axis(scale)];
    for (const [name, found] of byInterface(lanes)) nodes.push(groupNode(name, found, scale));
    if (lanes.length === 0) {
      nodes.push(el("p", { class: "empty" }, "No interface in this stretch of time."));
    }
    const focused = this.#node.contains(document.activeElement)
      ? document.activeElement.getAttribute("aria-label")
      : null;
    this.#node.replaceChildren(...nodes);
    if (focused !== null) {
      const again = Array.from(this.#node.querySelectorAll("svg.lane"));
      again.find((node) => node.getAttribute("aria-label") === focused)?.focus();
    }
  }

  // ---------------------------------------------------------------- looking closer

  #key(event) {
    const lane = event.target.closest("svg.lane");
    const steps = { ArrowLeft: -1, ArrowRight: 1 };
    if (lane === null || !(event.key in steps)) return;
    event.preventDefault();
    const rects = Array.from(lane.querySelectorAll("rect.span"));
    const at = rects.indexOf(this.#pointed);
    const next =
      at < 0 ? rects.length - 1 : Math.min(rects.length - 1, Math.max(0, at + steps[event.key]));
    this.#over(rects[next] ?? null);
  }

  #over(rect) {
    this.#pointed?.classList.remove("here");
    this.#pointed = rect?.classList.contains("span") ? rect : null;
    if (this.#pointed === null) return hideTip();
    rect.classList.add("here");
    showTip(rect.getBoundingClientRect(), rect.dataset.told.split("\n"));
  }
}

function byInterface(lanes) {
  const found = new Map();
  for (const lane of lanes) {
    if (!found.has(lane.interface)) found.set(lane.interface, []);
    found.get(lane.interface).push(lane);
  }
  return found;
}

function ticksOf(from, to, minutes) {
  const step = TICKS[minutes] * MINUTE;
  const offset = new Date(to).getTimezoneOffset() * MINUTE; // so that ticks are at whole local hours
  const ticks = [];
  for (let at = Math.ceil((from - offset) / step) * step + offset; at <= to; at += step)
    ticks.push(at);
  return ticks;
}
