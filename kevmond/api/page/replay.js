// Owns the question before events are delivered once more: which, and whether that is meant.

import { button, byId, el, printable } from "./dom.js";
import { counted } from "./format.js";

/** Ask what is to be replayed; returns the body of the request, or null if nothing is. */
export function askReplay({ name, url, dead }) {
  const dialog = byId("replay");
  const since = el("input", {
    type: "text",
    value: "10m",
    id: "replay-since",
    size: "22",
    spellcheck: "false",
    autocomplete: "off",
  });
  const span = choice("since", true);
  const failed = choice("failed", false);
  failed.disabled = dead === 0;
  since.addEventListener("focus", () => (span.checked = true));
  const yes = el("button", { type: "submit", class: "strong" }, "Deliver again");
  const form = el(
    "form",
    { method: "dialog" },
    el("h2", { id: "replay-title" }, `Replay to ${printable(name)}`),
    el("p", { class: "url" }, printable(url)),
    el("label", { class: "choice" }, span, el("span", {}, "Events since ", since)),
    el(
      "p",
      { class: "hint" },
      "how long ago (10m, 2h, 1d) or a time (2026-03-01 08:00); those that its filter lets pass and that it has been offered before",
    ),
    el(
      "label",
      { class: "choice" },
      failed,
      el(
        "span",
        {},
        dead
          ? `Only what it never took: ${counted(dead, "dead letter")}`
          : "Only what it never took: there is none",
      ),
    ),
    el(
      "p",
      { class: "foot-note" },
      "Ids stay the same, so a receiver that looks at them can tell doubles.",
    ),
    el(
      "footer",
      {},
      button("Cancel", () => dialog.close("no")),
      yes,
    ),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (span.checked && since.value.trim() === "") since.focus();
    else dialog.close("yes");
  });
  dialog.returnValue = "no"; // Esc leaves it as it was
  dialog.replaceChildren(form);
  dialog.showModal();
  yes.focus();
  return new Promise((done) => {
    dialog.addEventListener(
      "close",
      () => {
        const meant = dialog.returnValue === "yes";
        const wanted = failed.checked ? { failed: true } : { since: since.value.trim() };
        dialog.replaceChildren();
        done(meant ? wanted : null);
      },
      { once: true },
    );
  });
}

function choice(value, checked) {
  return el("input", { type: "radio", name: "what", value, checked });
}
