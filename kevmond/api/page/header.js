// Owns the top of the page: host, health and its problems, uptime and version, how the stream's
// connection stands, and the notice when the page has no token.

import { byId, el, hintNode, printable, setAttribute, setText, show, withCode } from "./dom.js";
import { bytes, counted, span } from "./format.js";

const MARKS = { ok: "●", degraded: "▲", failing: "✕" };

export class Header {
  #open = false;
  #told = "";
  #counting = null;

  constructor() {
    byId("health").addEventListener("click", () => {
      this.#open = !this.#open;
      this.#unfold();
    });
  }

  /** Show a status. */
  status({ health, problems, warnings, daemon, kernel }) {
    const all = [...problems, ...warnings.map((each) => ({ ...each, mild: true }))];
    const node = byId("health");
    const counts = [
      [problems, "problem"],
      [warnings, "warning"],
    ].filter(([found]) => found.length);
    const more = counts.map(([found, word]) => counted(found.length, word)).join(", ");
    setText(node, `${MARKS[health] ?? "?"} ${printable(health)}${more ? ` – ${more}` : ""}`);
    setAttribute(node, "data-health", health);
    node.disabled = all.length === 0;
    show(node, true);
    setText(byId("host"), printable(kernel.host ?? ""));
    const memory = daemon.rss_bytes ? ` · ${bytes(daemon.rss_bytes)}` : "";
    const cpu =
      typeof daemon.cpu_percent === "number" ? ` · ${daemon.cpu_percent.toFixed(1)} % CPU` : "";
    const facts = byId("facts");
    setText(
      facts,
      `up ${span(daemon.uptime)} · kevmond ${daemon.version} · ${kernel.name}${memory}${cpu}`,
    );
    facts.title = `process ${daemon.pid}, Darwin ${kernel.os_release}`;
    this.#problems(health, all);
  }

  /** Show that nobody answers, so that nothing shown is taken for how it is now. */
  silent() {
    const node = byId("health");
    if (node.hidden) return;
    setText(node, "? no answer");
    setAttribute(node, "data-health", "silent");
  }

  #problems(health, all) {
    const told = JSON.stringify(all);
    if (told !== this.#told) {
      const worse = all.length > 0 && health !== "ok" && this.#told === "";
      if (worse) this.#open = true;
      this.#told = all.length ? told : "";
      byId("problems").replaceChildren(el("ul", {}, ...all.map(problemNode)));
    }
    if (all.length === 0) this.#open = false;
    setAttribute(byId("problems"), "data-health", health);
    this.#unfold();
  }

  #unfold() {
    byId("health").setAttribute("aria-expanded", String(this.#open));
    show(byId("problems"), this.#open);
  }

  /** Show how the stream's connection stands; `wait` is milliseconds until it is tried again. */
  link(state, wait = 0) {
    const words = {
      live: "live",
      connecting: "connecting",
      waiting: "reconnecting",
      locked: "no token",
      refused: "stream refused",
    };
    clearInterval(this.#counting);
    byId("connection").dataset.state = state;
    // A connection that is back within a moment is no news to who hears the page.
    setText(byId("connection-text"), words[state] ?? state);
    setText(byId("connection-left"), "");
    if (state !== "waiting" || wait < 1000) return;
    const end = Date.now() + wait;
    const tell = () => {
      const left = Math.ceil((end - Date.now()) / 1000);
      setText(byId("connection-left"), left > 0 ? ` in ${left} s` : "");
    };
    tell();
    this.#counting = setInterval(tell, 1000);
  }

  /** Show that the page has no token, or that the daemon takes it no longer; "" takes it away. */
  notice(text, command = "") {
    byId("notice").replaceChildren(text, command ? el("code", {}, command) : "");
    show(byId("notice"), text !== "");
  }
}

function problemNode({ what, text, hint, mild = false }) {
  return el(
    "li",
    { class: mild ? "mild" : null },
    el("strong", {}, printable(what ?? "")),
    " ",
    ...withCode(text ?? ""),
    hintNode(hint),
  );
}
