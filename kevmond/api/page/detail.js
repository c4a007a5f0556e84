// Owns the pane beside the stream: one event with its fields, its bytes, its JSON, and who got it.

import { get } from "./api.js";
import { button, byId, el, printable, show } from "./dom.js";
import { quoted } from "./filter.js";
import { moment } from "./format.js";
import { hexDump } from "./hexdump.js";
import { jsonNodes } from "./json.js";
import { valueText } from "./summary.js";
import { severityPill, stateWord } from "./words.js";

export class Detail {
  #node = byId("detail");
  #event = null;
  #filter;
  #onClose;

  constructor({ filter, onClose }) {
    this.#filter = filter;
    this.#onClose = onClose;
  }

  get open() {
    return !this.#node.hidden;
  }

  /** The event that is shown; null if none is. */
  get event() {
    return this.#event;
  }

  /** Show an event. */
  show(event) {
    if (this.#event?.id === event.id) return;
    this.#event = event;
    const who = el("ul", { class: "who" }, el("li", { class: "muted" }, "asking…"));
    this.#node.replaceChildren(
      this.#heading(event),
      this.#choices(event),
      el("dl", { class: "fields" }, ...fields(event)),
      part("Who got it", who),
      ...(event.raw ? [part(`Message, ${event.raw.length / 2} bytes`, bytes(event))] : []),
      part(
        "JSON",
        el("pre", { class: "json", tabindex: "0", "aria-label": "JSON" }, ...jsonNodes(event)),
        copy(event),
      ),
    );
    this.#node.scrollTop = 0;
    show(this.#node, true);
    this.#explain(event, who);
  }

  /** Move the focus into the pane. */
  focus() {
    this.#node.querySelector("h3")?.focus();
  }

  close() {
    this.#event = null;
    show(this.#node, false);
    this.#node.replaceChildren();
  }

  #heading(event) {
    return el(
      "header",
      {},
      el("h3", { id: "detail-title", tabindex: "-1" }, printable(event.type)),
      severityPill(event.severity),
      button("×", () => this.#onClose(), {
        class: "icon",
        "aria-label": "Close",
        title: "Close (Esc)",
      }),
    );
  }

  #choices(event) {
    const type = `type=${quoted(event.type)}`;
    const nodes = [button("Only this type", () => this.#filter.set(type), { class: "plain" })];
    if (event.interface) {
      const text = `interface=${quoted(event.interface)}`;
      nodes.push(button("Only this interface", () => this.#filter.set(text), { class: "plain" }));
    }
    nodes.push(button("Without this type", () => this.#filter.without(type), { class: "plain" }));
    return el("p", { class: "choices" }, ...nodes);
  }

  async #explain(event, who) {
    let rows;
    try {
      const { consumers } = await get(`/v1/events/${encodeURIComponent(event.seq)}/explain`);
      rows = consumers.map(verdict);
      if (rows.length === 0) rows = [el("li", { class: "muted" }, "Nothing consumes events.")];
    } catch (error) {
      rows = [el("li", { class: "muted" }, printable(`${error.message} ${error.hint ?? ""}`))];
    }
    if (this.#event === event) who.replaceChildren(...rows);
  }
}

function verdict({ name, type, verdict: word, why }) {
  return el(
    "li",
    {},
    el("strong", {}, printable(name)),
    el("span", { class: "muted" }, ` ${printable(type ?? "")} `),
    stateWord(word),
    why ? el("span", { class: "why" }, printable(why)) : null,
  );
}

function part(title, ...content) {
  return el("section", {}, el("h4", {}, title), ...content);
}

function bytes(event) {
  return hexDump(event.raw, (event.extra?.length ?? 0) / 2);
}

function copy(event) {
  const node = button(
    "Copy",
    async () => {
      try {
        await navigator.clipboard.writeText(JSON.stringify(event));
        node.textContent = "Copied";
      } catch {
        node.textContent = "The browser does not allow it";
      }
    },
    { class: "plain copy" },
  );
  return node;
}

function fields(event) {
  const told = [
    ["time", `${moment(event.time)} local, ${event.time}`],
    ["interface", event.interface],
    ["position", event.seq],
    ["kernel id", event.kernel_id],
    [
      "decoded",
      event.decode === "full" ? null : `${event.decode}${event.reason ? `: ${event.reason}` : ""}`,
    ],
  ];
  const rows = told.filter(([, value]) => value !== null && value !== undefined);
  const payload = Object.entries(event.payload ?? {}).map(([name, value]) => [name, shown(value)]);
  return [...rows, ...payload].flatMap(([name, value], at) => [
    el("dt", { class: at < rows.length ? "envelope" : "" }, printable(name)),
    el("dd", {}, printable(value)),
  ]);
}

function shown(value) {
  if (typeof value === "string") return value === "" ? "–" : value;
  if (Array.isArray(value) && value.every((item) => typeof item !== "object")) {
    return value.length ? value.join(", ") : "none";
  }
  return valueText(value) || (value === null ? "–" : JSON.stringify(value));
}
