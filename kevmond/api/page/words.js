// Owns words that tell a state: marked by a colour as well, whatever word it is.

import { el, printable } from "./dom.js";

const SEVERITIES = new Set(["debug", "info", "notice", "warning", "error", "critical"]);

/** A severity. */
export function severityPill(severity) {
  const known = SEVERITIES.has(severity) ? severity : "unknown";
  return el("span", { class: `severity ${known}` }, printable(severity));
}

/** The state of a consumer or an interface, or what became of an event. */
export function stateWord(state) {
  const known = /^[a-z-]+$/.test(state) ? state : "unknown";
  return el("span", { class: `word ${known}` }, printable(state));
}
