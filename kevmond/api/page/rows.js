// Owns the rows of the stream's table: one for each event, and one for each gap in the stream.

import { el, printable } from "./dom.js";
import { clock, counted } from "./format.js";
import { summaryNodes } from "./summary.js";
import { severityPill } from "./words.js";

/** Type in dotted words, the last of which is what happened. */
function typeNodes(type) {
  const at = type.lastIndexOf(".") + 1;
  return [el("span", { class: "family" }, printable(type.slice(0, at))), printable(type.slice(at))];
}

/** Make the row of an event. */
export function eventRow(event) {
  return el(
    "tr",
    {
      tabindex: "-1",
      "aria-selected": "false",
      class: `event ${/^[a-z]+$/.test(event.severity) ? event.severity : ""}`,
      "data-id": event.id,
      "data-seq": event.seq,
    },
    el("td", { class: "time", title: event.time }, clock(event.time)),
    el("td", { class: "level" }, severityPill(event.severity)),
    el("td", { class: "type", title: printable(event.type) }, ...typeNodes(event.type)),
    el("td", { class: "interface" }, printable(event.interface ?? "")),
    el("td", { class: "summary" }, ...summaryNodes(event)),
  );
}

/** What a gap in the stream is, in words. */
export function gapText(gap) {
  if (gap.missed === null)
    return `gap: ${printable(gap.reason ?? "it is not known what was missed")}`;
  const which = gap.first && gap.last ? ` (${gap.first} to ${gap.last})` : "";
  const why = gap.reason ? `: ${printable(gap.reason)}` : "";
  return `gap: ${counted(gap.missed, "event")} missed${which}${why}`;
}

/** Make the row of a gap. */
export function gapRow(gap) {
  return el("tr", { class: "gap" }, el("td", { colspan: "5" }, gapText(gap)));
}
