// Owns how times, spans and figures are written: local times, English words, stable widths.

const COUNT = new Intl.NumberFormat("en");

function two(number) {
  return String(number).padStart(2, "0");
}

/** Whole number with thousands set apart; a dash where it is not known. */
export function count(number) {
  return typeof number === "number" ? COUNT.format(number) : "–";
}

/** "1 event", "2 events". */
export function counted(number, word) {
  return `${count(number)} ${word}${number === 1 ? "" : "s"}`;
}

/** Local time of day with milliseconds, and the day before it if it is not today's. */
export function clock(time, { precise = true } = {}) {
  const at = new Date(time);
  if (Number.isNaN(at.getTime())) return String(time ?? "–");
  let text = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  if (precise) text += `.${String(at.getMilliseconds()).padStart(3, "0")}`;
  return sameDay(at, new Date()) ? text : `${day(at)} ${text}`;
}

/** Local hour and minute. */
export function minute(time) {
  const at = new Date(time);
  return `${two(at.getHours())}:${two(at.getMinutes())}`;
}

/** Local date and time to the second, for where there is space. */
export function moment(time) {
  const at = new Date(time);
  if (Number.isNaN(at.getTime())) return String(time ?? "–");
  return `${at.getFullYear()}-${day(at)} ${minute(at)}:${two(at.getSeconds())}`;
}

function day(at) {
  return `${two(at.getMonth() + 1)}-${two(at.getDate())}`;
}

function sameDay(one, other) {
  return one.toDateString() === other.toDateString();
}

const UNITS = [
  [86400, "d"],
  [3600, "h"],
  [60, "min"],
  [1, "s"],
];

/** A span of seconds in its two greatest units. */
export function span(seconds) {
  let left = Math.max(0, Math.round(seconds));
  const told = [];
  for (const [length, unit] of UNITS) {
    const number = Math.floor(left / length);
    left -= number * length;
    if (number || told.length) told.push(number ? `${number} ${unit}` : "");
    if (told.length === 2) break;
  }
  return told.filter(Boolean).join(" ") || "0 s";
}

/** How long ago, in words. */
export function ago(time, now = Date.now()) {
  const seconds = (now - new Date(time).getTime()) / 1000;
  return seconds < 1 ? "now" : `${span(seconds)} ago`;
}

/** Bytes in binary units. */
export function bytes(number) {
  if (typeof number !== "number") return "–";
  let size = number;
  let unit = "B";
  for (const next of ["KiB", "MiB", "GiB", "TiB"]) {
    if (size < 1024) break;
    size /= 1024;
    unit = next;
  }
  return `${size >= 100 || unit === "B" ? Math.round(size) : size.toFixed(1)} ${unit}`;
}
