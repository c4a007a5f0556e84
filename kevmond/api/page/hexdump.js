// Owns the bytes of a message as rows of hex and text, coloured by what they are: the header
// (struct kern_event_msg, 24 bytes), the payload, and what is behind what is known.

import { el } from "./dom.js";

const ROW = 16;
const HEADER = 24;
const FIELDS = ["total size", "vendor code", "class", "subclass", "id", "event code"];

function kindOf(at, extraFrom) {
  if (at < HEADER) return "header";
  return at >= extraFrom ? "extra" : "payload";
}

function titleOf(at, kind) {
  if (kind === "header") return `header: ${FIELDS[Math.floor(at / 4)]}`;
  return kind === "extra" ? "behind what is known" : `payload, byte ${at - HEADER}`;
}

/** Return a <pre> of hex text; `extra` is how many bytes at its end are behind what is known. */
export function hexDump(hex, extra = 0) {
  const bytes = hex.match(/../g) ?? [];
  const extraFrom = bytes.length - extra;
  const dump = el("pre", { class: "hex", tabindex: "0", "aria-label": "Bytes of the message" });
  for (let start = 0; start < bytes.length; start += ROW) {
    const row = bytes.slice(start, start + ROW);
    dump.append(el("span", { class: "offset" }, start.toString(16).padStart(4, "0")), "  ");
    dump.append(...runs(row, start, extraFrom, (byte, at) => byte + gap(at)));
    dump.append("   ".repeat(ROW - row.length), row.length <= 8 ? " " : "", " ");
    dump.append(...runs(row, start, extraFrom, (byte) => character(parseInt(byte, 16))), "\n");
  }
  return dump;
}

function gap(at) {
  return at % ROW === 7 ? "  " : " ";
}

function character(code) {
  return code > 0x20 && code < 0x7f ? String.fromCharCode(code) : "·";
}

/** Stretches of a row that are of one kind, each in one element; header fields apart. */
function runs(row, start, extraFrom, write) {
  const nodes = [];
  let title = "";
  row.forEach((byte, offset) => {
    const at = start + offset;
    const kind = kindOf(at, extraFrom);
    const told = titleOf(at, kind);
    const same =
      kind === "header" ? told === title : nodes.length && nodes.at(-1).className === kind;
    if (!same)
      nodes.push(el("span", { class: kind, title: kind === "payload" ? "payload" : told }));
    nodes.at(-1).append(write(byte, at));
    title = told;
  });
  return nodes;
}
