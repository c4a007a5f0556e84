// Owns what an event says in one line: its payload's fields, as `kevmond run` writes them.

import { el, printable } from "./dom.js";

/** Fields that the interface's own column tells already. */
const IN_INTERFACE = new Set(["if_family", "if_unit", "if_name"]);
const LISTED = 4;
const HEX_SHOWN = 64;
const HEADER_HEX = 48;
const MOST = 300;

/** Return a value as text; "" if it says nothing. */
export function valueText(value) {
  if (value === null || value === undefined || value === "") return "";
  if (value === true) return "yes";
  if (value === false) return "no";
  if (Array.isArray(value)) {
    const more = value.length > LISTED ? `,+${value.length - LISTED}` : "";
    return value.slice(0, LISTED).map(valueText).join(",") + more;
  }
  if (typeof value === "object") {
    const told = pairs(value).map(([name, text]) => `${name}=${text}`);
    return told.length ? `{${told.join(" ")}}` : "";
  }
  const text = String(value);
  return typeof value === "string" && /[\s"\\=]/u.test(text) ? JSON.stringify(text) : text;
}

function pairs(fields) {
  return Object.entries(fields)
    .filter(([name]) => !IN_INTERFACE.has(name))
    .map(([name, value]) => [name, valueText(value)])
    .filter(([, text]) => text !== "");
}

/** Return names and texts of what an event says. */
export function summary(event) {
  const told = pairs(event.payload ?? {});
  if (event.decode !== "full" && event.reason && event.decode !== "unknown") {
    told.push(["reason", event.reason]);
  }
  if (event.extra) told.push(["extra", shortened(event.extra)]);
  else if (!event.payload && event.raw && event.raw.length > HEADER_HEX) {
    told.push(["data", shortened(event.raw.slice(HEADER_HEX))]);
  }
  return told;
}

function shortened(hex) {
  if (hex.length <= HEX_SHOWN) return hex;
  return `${hex.slice(0, HEX_SHOWN)}…(+${(hex.length - HEX_SHOWN) / 2} bytes)`;
}

/** Return the summary as nodes. */
export function summaryNodes(event) {
  const nodes = [];
  for (const [name, text] of summary(event)) {
    const shown = text.length > MOST ? `${text.slice(0, MOST)}…` : text;
    nodes.push(el("span", { class: "name" }, `${printable(name)}=`), `${printable(shown)}  `);
  }
  if (event.synthetic && !/^(kevmond|control)\./.test(event.type)) {
    nodes.push(el("span", { class: "name" }, "(synthetic)"));
  }
  return nodes;
}
