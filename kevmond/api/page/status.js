// Owns /v1/status: asked every two seconds while the page is seen, and handed to whoever shows it
// (an event "status"), as is that nobody answers ("silent").

import { get } from "./api.js";
import { Poll } from "./poll.js";

const EVERY_MS = 2000;

export class Status extends EventTarget {
  #latest = null;
  #poll = new Poll(() => this.#load(), EVERY_MS);

  /** The latest answer; null before there was one. */
  get latest() {
    return this.#latest;
  }

  /** Ask now. */
  now() {
    this.#poll.now();
  }

  async #load() {
    try {
      this.#latest = await get("/v1/status");
    } catch (error) {
      this.dispatchEvent(new Event("silent"));
      throw error;
    }
    this.dispatchEvent(new Event("status"));
  }
}
