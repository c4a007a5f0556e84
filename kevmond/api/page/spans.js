// Owns what becomes of the spans of a lane that are too short to be seen: those that follow one
// another are one span, which tells how many they are.

/** Percent of a lane's width below which a span is too short. */
export const SHORTEST = 0.25;

/** Return spans with `left` and `right` in percent; of the joined ones `changes` is the number. */
export function joined(spans, place, now) {
  const found = [];
  for (const span of spans) {
    const left = place(new Date(span.from).getTime());
    const right = place(span.to === null ? now : new Date(span.to).getTime());
    const short = right - left < SHORTEST;
    const last = found.at(-1);
    if (short && last?.short && left - last.right < SHORTEST) {
      last.changes += 1;
      last.right = Math.max(last.right, right);
      last.to = span.to;
      last.state = last.state === span.state ? span.state : "flapping";
    } else {
      found.push({ ...span, left, right, short, changes: 1 });
    }
  }
  return found;
}

/** Return a span for what is not told of a lane before its first one. */
export function untold(lane, since) {
  const first = lane.spans[0];
  return lane.cut && first ? [{ from: since, to: first.from, state: "untold" }] : [];
}
