// Owns JSON as a person reads it: indented, with keys, texts and figures told apart.

import { el, printable } from "./dom.js";

function token(kind, text) {
  return el("span", { class: kind }, text);
}

/** A text in quotes, with whatever would not be seen escaped. */
function quoted(text) {
  return printable(JSON.stringify(text)).replaceAll("\\x", "\\u00");
}

/** Return nodes that show a value. */
export function jsonNodes(value, depth = 0) {
  if (value === null) return [token("null", "null")];
  if (typeof value === "string") return [token("text", quoted(value))];
  if (typeof value !== "object") return [token("figure", String(value))];
  const listed = Array.isArray(value);
  const entries = Object.entries(value);
  const [open, close] = listed ? "[]" : "{}";
  if (entries.length === 0) return [open + close];
  const inner = "  ".repeat(depth + 1);
  const nodes = [`${open}\n`];
  entries.forEach(([key, item], at) => {
    nodes.push(inner);
    if (!listed) nodes.push(token("key", quoted(key)), ": ");
    nodes.push(...jsonNodes(item, depth + 1), at + 1 < entries.length ? ",\n" : "\n");
  });
  nodes.push("  ".repeat(depth) + close);
  return nodes;
}
