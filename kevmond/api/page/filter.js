// Owns the filter box: rules in the one filter language, separated by ";", checked by the daemon
// before they are used.  What cannot be understood is told under the box; the filter in force stays.

import { ApiError, get } from "./api.js";
import { button, byId, printable, show } from "./dom.js";

const KEPT = "kevmond.filter";
const TYPED_MS = 700;
const EXAMPLES = [
  "severity>=warning",
  "class=network code=link-*",
  "interface=en*",
  "type=network.dl.*",
  "drop type=kevmond.*",
];

/** Cut the text at every ";" that stands in no quotes. */
export function rulesOf(text) {
  const rules = [""];
  let quote = "";
  for (const char of text) {
    if (quote === "" && char === ";") {
      rules.push("");
      continue;
    }
    if (quote === "" && (char === '"' || char === "'")) quote = char;
    else if (char === quote) quote = "";
    rules[rules.length - 1] += char;
  }
  return rules.map((rule) => rule.trim()).filter(Boolean);
}

/** A value as the filter language takes it, whatever is in it. */
export function quoted(value) {
  return /^[\w.%+:@/-]+$/.test(value) ? value : `'${value.replaceAll("'", `'"'"'`)}'`;
}

export class Filter {
  #input = byId("filter");
  #rules;
  #timer = null;
  #turn = 0;
  #changed;
  #newest;

  /** `changed` is called with other rules in force; `newest` returns the newest position. */
  constructor({ changed, newest }) {
    this.#changed = changed;
    this.#newest = newest;
    this.#input.value = sessionStorage.getItem(KEPT) ?? "";
    this.#rules = rulesOf(this.#input.value);
    this.#input.addEventListener("input", () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#apply(), TYPED_MS);
      this.#look();
    });
    this.#input.addEventListener("focus", () => this.#look());
    this.#input.addEventListener("blur", () => this.#look());
    byId("filter-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#apply();
    });
    byId("filter-clear").addEventListener("click", () => this.set(""));
    for (const example of EXAMPLES) {
      const node = button(example, () => this.set(example), { class: "plain", tabindex: "-1" });
      node.addEventListener("pointerdown", (event) => event.preventDefault()); // the box keeps focus
      byId("filter-examples").append(" ", node);
    }
    this.#look();
  }

  /** Pairs of a query that ask for the filter in force. */
  get query() {
    return this.#rules.map((rule) => ["filter", rule]);
  }

  get rules() {
    return this.#rules;
  }

  /** Write another filter into the box and use it. */
  set(text) {
    this.#input.value = text;
    this.#apply();
  }

  /** Take out what a rule passes, beside what stands there already. */
  without(rule) {
    const before = this.#input.value.trim();
    this.set(before ? `${before}; drop ${rule}` : `drop ${rule}`);
  }

  focus() {
    this.#input.focus();
    this.#input.select();
  }

  /** Show what the daemon says of the rules; null: nothing is wrong with them. */
  refused(error) {
    const node = byId("filter-error");
    this.#input.setAttribute("aria-invalid", String(error !== null));
    node.replaceChildren(...(error ? [printable(error.message)] : []));
    if (error?.hint) node.append(` – ${printable(error.hint)}`);
    show(node, error !== null);
    this.#look();
  }

  async #apply() {
    clearTimeout(this.#timer);
    this.#look();
    const turn = (this.#turn += 1);
    const text = this.#input.value;
    const rules = rulesOf(text);
    try {
      // Behind the newest there is nothing to be looked through: only the rules are read.
      const query = [
        ["after", this.#newest()],
        ["limit", 1],
        ...rules.map((rule) => ["filter", rule]),
      ];
      if (rules.length) await get("/v1/events", query);
    } catch (error) {
      if (!(error instanceof ApiError) || error.passing || error.status === 401) return;
      if (turn === this.#turn) this.refused(error);
      return;
    }
    if (turn !== this.#turn) return;
    this.refused(null);
    sessionStorage.setItem(KEPT, text);
    if (rules.join(";") === this.#rules.join(";")) return;
    this.#rules = rules;
    this.#changed(rules);
  }

  #look() {
    show(byId("filter-clear"), this.#input.value !== "");
    const wrong = this.#input.getAttribute("aria-invalid") === "true";
    const focused = document.activeElement === this.#input;
    show(byId("filter-examples"), focused && !wrong && this.#input.value === "");
  }
}
