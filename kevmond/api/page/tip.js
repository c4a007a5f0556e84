// Owns the one small box that tells about what the pointer or the keyboard is on.

import { byId, el, show } from "./dom.js";

const EDGE = 8;

/** Show lines of text by a place on the screen; the first is the heading. */
export function showTip(rect, lines) {
  const tip = byId("tip");
  tip.replaceChildren(...lines.map((line, at) => el(at ? "span" : "strong", {}, line)));
  show(tip, true);
  const { width, height } = tip.getBoundingClientRect();
  const middle = rect.left + rect.width / 2 - width / 2;
  const left = Math.max(EDGE, Math.min(innerWidth - width - EDGE, middle));
  const above = rect.top - height - EDGE;
  // By script, property by property: the page's policy forbids styles in markup.
  tip.style.left = `${left}px`;
  tip.style.top = `${above > EDGE ? above : rect.bottom + EDGE}px`;
}

export function hideTip() {
  show(byId("tip"), false);
}
