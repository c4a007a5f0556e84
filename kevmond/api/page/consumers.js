// Owns the table of consumers: what each has done, how far behind it is, and what holds it up.

import { byId, el, keyed, printable, setText, show } from "./dom.js";
import { ago, clock, count, counted, span } from "./format.js";
import { stateWord } from "./words.js";

const BAD = new Set(["failed", "disabled", "retrying"]);

/** Show the consumers of a status. */
export function showConsumers(consumers) {
  keyed(byId("consumer-rows"), consumers, (each) => `${each.kind} ${each.name}`, make, update);
  show(byId("consumers-empty"), consumers.length === 0);
  show(byId("consumers"), consumers.length > 0);
  const behind = consumers.reduce((sum, { lag }) => sum + (lag ?? 0), 0);
  const waiting = behind ? `, ${counted(behind, "event")} waiting` : "";
  setText(byId("consumers-sum"), counted(consumers.length, "consumer") + waiting);
  const bad = consumers.filter(({ state }) => BAD.has(state)).length;
  const badge = byId("delivery-badge");
  setText(badge, bad ? String(bad) : "");
  badge.title = bad ? `${counted(bad, "consumer")} in trouble` : "";
  show(badge, bad > 0);
}

function make() {
  const classes = ["name", "state", "number", "number", "number", "error", "next"];
  return el("tr", {}, ...classes.map((name) => el("td", { class: name })));
}

function update(row, each) {
  const [name, state, lag, delivered, dead, error, next] = row.children;
  if (name.childElementCount === 0) {
    name.append(
      printable(each.name),
      el("span", { class: "muted" }, ` ${printable(each.type ?? "")}`),
    );
  }
  if (state.textContent !== each.state) state.replaceChildren(stateWord(each.state));
  setText(lag, count(each.lag));
  lag.classList.toggle("much", each.lag > 1000);
  setText(delivered, count(each.delivered));
  const lost = (each.dropped ?? 0) + (each.missed ?? 0);
  delivered.title = `${count(each.filtered)} filtered, ${count(each.dropped)} dropped, ${count(each.missed)} missed`;
  setText(dead, count(each.dead_letters));
  dead.classList.toggle("much", each.dead_letters > 0 || lost > 0);
  const told = printable(each.last_error ?? "");
  setText(error, told || "–");
  error.title = told;
  setText(next, nextText(each.next_attempt));
  next.title = each.next_attempt ? clock(each.next_attempt) : "";
}

/** When something is tried again, from now. */
export function nextText(time) {
  if (!time) return "–";
  const left = (new Date(time).getTime() - Date.now()) / 1000;
  return left > 0 ? `in ${span(left)}` : `now (due ${ago(time)})`.replace("(due now)", "").trim();
}
