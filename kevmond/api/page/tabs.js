// Owns which of the views is shown (WAI-ARIA tabs); the choice stays with this tab of the browser.

import { byId } from "./dom.js";

const KEPT = "kevmond.view";
const NAMES = ["events", "interfaces", "delivery", "losses"];
const told = new Set();

/** Whether a view is the one that is shown. */
export function isShown(name) {
  return !byId(name).hidden;
}

/** Have a function called with the name of each view that is opened from now on. */
export function onShown(call) {
  told.add(call);
}

/** Show a view. */
export function open(name, { focus = false } = {}) {
  for (const each of NAMES) {
    const here = each === name;
    const tab = byId(`tab-${each}`);
    tab.setAttribute("aria-selected", String(here));
    tab.tabIndex = here ? 0 : -1;
    byId(each).hidden = !here;
    if (here && focus) tab.focus();
  }
  sessionStorage.setItem(KEPT, name);
  for (const call of told) call(name);
}

/** Show the view of a number, from 1 on. */
export function openNumber(number) {
  const name = NAMES[number - 1];
  if (name !== undefined) open(name, { focus: true });
}

/** Let the tabs be used, and show the view of the last time. */
export function begin() {
  NAMES.forEach((name, at) => {
    const tab = byId(`tab-${name}`);
    tab.addEventListener("click", () => open(name));
    tab.addEventListener("keydown", (event) => {
      const steps = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: NAMES.length - 1 };
      if (!(event.key in steps)) return;
      event.preventDefault();
      open(NAMES.at(steps[event.key] % NAMES.length), { focus: true });
    });
  });
  const last = sessionStorage.getItem(KEPT);
  open(NAMES.includes(last) ? last : NAMES[0]);
}
