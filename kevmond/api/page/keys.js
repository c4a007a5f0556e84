// Owns the keyboard, and the help that tells what it does.

import { button, byId, el } from "./dom.js";
import { openNumber } from "./tabs.js";

const KEYS = [
  ["/", "go to the filter"],
  ["j k", "next event down, up"],
  ["Enter", "open the event: fields, bytes, JSON, who got it"],
  ["Esc", "close it, or leave the filter"],
  ["p", "pause the stream, or go on"],
  ["g", "back to the newest"],
  ["1 2 3 4", "Events, Interfaces, Delivery, Losses"],
  ["← →", "in the plot and in a lane: earlier, later"],
  ["t", "dark or light"],
  ["?", "this help"],
];

const FILTERS = [
  ["severity>=warning", "at least a warning"],
  ["class=network code=link-*", "both hold"],
  ["interface=en*,utun*", "one of these"],
  ["type!=network.dl.if-flags", "all but these"],
  ["drop interface=awdl*", "take these out"],
  ["interface=en0; severity>=error", "either rule"],
];

/** Fill the help and let it be opened. */
export function makeHelp() {
  const dialog = byId("help");
  const list = (rows, tag) =>
    el(
      "dl",
      {},
      ...rows.flatMap(([name, text]) => [el("dt", {}, el(tag, {}, name)), el("dd", {}, text)]),
    );
  dialog.append(
    el(
      "header",
      {},
      el("h2", { id: "help-title" }, "Help"),
      button("×", () => dialog.close(), { class: "icon", "aria-label": "Close" }),
    ),
    el("h3", {}, "Keys"),
    list(KEYS, "kbd"),
    el("h3", {}, "Filters"),
    list(FILTERS, "code"),
    el(
      "p",
      { class: "hint" },
      "Keys: vendor, class, subclass, code, type, interface, severity, origin. Records of kevmond's own (kevmond.loss and its like) pass every filter but one that drops them by name.",
    ),
  );
  byId("help-open").addEventListener("click", () => dialog.showModal());
}

/** Let the keys be used; `acts` has a function for each of their names. */
export function listen(acts) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]"))
      return;
    const at = event.target;
    if (at === byId("filter")) {
      if (event.key === "Escape") acts.leaveFilter();
      return;
    }
    if (at.matches("input, textarea, select")) return;
    if (/^[1-4]$/.test(event.key)) openNumber(Number(event.key));
    else if (event.key === "?") byId("help").showModal();
    else if (event.key === "t") byId("theme").click();
    else if (!acts.event(event.key, at)) return;
    event.preventDefault();
  });
}
