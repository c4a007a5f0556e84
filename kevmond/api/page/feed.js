// Owns the connection to /v1/events/stream: opens it, opens it again from where it was, and says
// how it stands.  Every event is handed on once and in order.

import { ApiError, open } from "./api.js";
import { session } from "./session.js";
import { SseParser } from "./sse.js";

const PATH = "/v1/events/stream";
const FIRST_MS = 500;
const LONGEST_MS = 15000;
/** The daemon says something every 15 s; after so long without a byte the connection is dead. */
const SILENCE_MS = 45000;

export class Feed {
  #tell;
  #rules = [];
  #cursor = null;
  #newest = null;
  #run = null;
  #wake = () => {};

  /** `tell` has event(event), missed(gap), begun(after, newest) and state(word, detail). */
  constructor(tell) {
    this.#tell = tell;
    document.addEventListener("visibilitychange", () => document.hidden || this.#wake());
    window.addEventListener("online", () => this.#wake());
  }

  /** Newest position that the daemon has told of; null before it did. */
  get newest() {
    return this.#newest;
  }

  /** Position up to which all that passes the rules was handed on; null before it is known. */
  get cursor() {
    return this.#cursor;
  }

  /** Begin anew, from now on, with these rules. */
  start(rules) {
    this.#rules = rules;
    this.#cursor = null;
    this.resume();
  }

  /** Go on from where the last event was. */
  resume() {
    this.#run?.abort();
    this.#run = new AbortController();
    this.#keep(this.#run.signal);
  }

  async #keep(signal) {
    let failures = 0;
    while (!signal.aborted) {
      this.#tell.state("connecting");
      try {
        await this.#read(signal, () => (failures = 0));
      } catch (error) {
        if (signal.aborted) return;
        if (!session.open) return this.#tell.state("locked");
        if (error instanceof ApiError && !error.passing) return this.#tell.state("refused", error);
      }
      if (signal.aborted) return;
      const longest = Math.min(LONGEST_MS, FIRST_MS * 2 ** failures);
      failures += 1;
      const wait = longest * (0.5 + Math.random() / 2);
      this.#tell.state("waiting", wait);
      await this.#pause(wait, signal);
    }
  }

  #pause(wait, signal) {
    return new Promise((done) => {
      const timer = setTimeout(done, wait);
      this.#wake = () => {
        clearTimeout(timer);
        done();
      };
      signal.addEventListener("abort", this.#wake, { once: true });
    }).finally(() => (this.#wake = () => {}));
  }

  async #read(signal, works) {
    const query = this.#rules.map((rule) => ["filter", rule]);
    const headers = this.#cursor === null ? {} : { "Last-Event-ID": String(this.#cursor) };
    const inner = new AbortController(); // a dead connection is given up without giving up the feed
    const end = () => inner.abort();
    signal.addEventListener("abort", end, { once: true });
    let alarm = setTimeout(end, SILENCE_MS);
    try {
      const answer = await open("GET", PATH, { query, headers, signal: inner.signal });
      const parser = new SseParser();
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        clearTimeout(alarm);
        alarm = setTimeout(end, SILENCE_MS);
        for (const message of parser.push(value)) {
          if (signal.aborted) return;
          this.#message(message, works);
        }
      }
    } finally {
      clearTimeout(alarm);
      signal.removeEventListener("abort", end);
      inner.abort();
    }
  }

  #message({ type, data, id }, works) {
    const facts = JSON.parse(data);
    if (type === "event") {
      if (this.#cursor !== null && facts.seq <= this.#cursor) return;
      this.#reach(facts.seq);
      this.#tell.event(facts);
    } else if (type === "missed") {
      // A journal that began anew counts from its beginning again.
      this.#cursor = facts.missed === null ? Number(id) || 0 : this.#cursor;
      if (facts.missed === null) this.#newest = null;
      this.#reach(Number(id) || this.#cursor);
      this.#tell.missed(facts);
    } else if (type === "position") {
      this.#reach(facts.seq);
    } else if (type === "hello") {
      works();
      this.#newest = facts.newest;
      const fresh = this.#cursor === null;
      if (fresh) this.#cursor = facts.after;
      this.#tell.state("live", facts);
      if (fresh) this.#tell.begun(facts.after);
    }
  }

  #reach(seq) {
    this.#cursor = Math.max(seq, this.#cursor ?? 0);
    this.#newest = Math.max(seq, this.#newest ?? 0);
  }
}
