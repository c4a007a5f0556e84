// Owns how one lane is drawn: its name, its ticks, and its spans, each of which tells of itself.

import { el, printable, svg } from "./dom.js";
import { clock, counted, minute, span } from "./format.js";
import { SHORTEST, joined, untold } from "./spans.js";

/** Where each look lies in its lane, in percent from above. */
const HEIGHTS = {
  up: [14, 72],
  down: [62, 24],
  present: [14, 72],
  there: [4, 92],
  flapping: [14, 72],
  untold: [38, 24],
};

/** Draw the times above the lanes; `scale` has their `ticks`, and `place` for a time. */
export function axis({ ticks, place }) {
  const node = el("div", { class: "ticks", "aria-hidden": "true" });
  for (const at of ticks) {
    const tick = el("span", {}, minute(at));
    tick.style.left = `${place(at)}%`;
    node.append(tick);
  }
  return el("div", { class: "axis" }, node);
}

/** Draw the lanes of one interface: of its link, on the ground of its being there, and addresses. */
export function groupNode(name, lanes, scale) {
  const group = el("div", { class: "group", role: "group", "aria-label": printable(name) });
  const addresses = lanes.filter(({ kind }) => kind === "address");
  const own = lanes.filter(({ kind }) => kind !== "address");
  own.sort((one, other) => (one.kind === "link") - (other.kind === "link"));
  const since = own.find(({ kind }) => kind === "interface")?.spans[0]?.from ?? scale.since;
  group.append(...laneNodes(printable(name), "link", own, { ...scale, since }));
  for (const lane of addresses) {
    group.append(...laneNodes(printable(lane.label), "address", [lane], scale));
  }
  return group;
}

function laneNodes(name, kind, lanes, { place, ticks, since, now }) {
  const picture = svg("svg", { class: `lane ${kind}`, width: "100%", tabindex: "0", role: "img" });
  for (const at of ticks) {
    const x = `${place(at)}%`;
    picture.append(svg("line", { class: "grid", x1: x, x2: x, y1: "0", y2: "100%" }));
  }
  for (const lane of lanes) {
    const spans = [...untold(lane, since), ...lane.spans];
    for (const each of joined(spans, place, now)) {
      picture.append(spanNode(each, { name, ground: lane.kind === "interface", now }));
    }
  }
  picture.setAttribute("aria-label", `${name}: ${lastOf(lanes.at(-1)?.spans ?? [])}`);
  return [el("span", { class: `label ${kind}`, title: name }, name), picture];
}

function lastOf(spans) {
  const last = spans.at(-1);
  if (last === undefined) return "nothing known";
  const ended = last.to !== null;
  return `${printable(last.state)} ${ended ? "until" : "since"} ${short(ended ? last.to : last.from)}`;
}

function short(time) {
  return clock(time, { precise: false });
}

function spanNode({ from, to, state, left, right, changes }, { name, ground, now }) {
  const look = ground && state === "present" ? "there" : state;
  const known = Object.hasOwn(HEIGHTS, look);
  const [y, height] = HEIGHTS[known ? look : "present"];
  const seconds = (new Date(to ?? now).getTime() - new Date(from).getTime()) / 1000;
  const told = [`${name} ${printable(state)}`];
  if (state === "untold") told[0] = `${name}: more happened here than is told`;
  if (changes > 1) told[0] += `: ${counted(changes, "change")}`;
  told.push(`${short(from)} – ${to === null ? "now" : short(to)}`, span(seconds));
  return svg("rect", {
    class: `span ${known ? look : "other"}`,
    x: `${left}%`,
    width: `${Math.max(SHORTEST, right - left)}%`, // the shortest is still seen
    y: `${y}%`,
    height: `${height}%`,
    rx: "2",
    "data-told": told.join("\n"),
  });
}
