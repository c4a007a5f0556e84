// Owns asking again and again: only while the page is seen and there is a token, never twice at once,
// and less often while the daemon does not answer.

import { session } from "./session.js";

const SLOWEST_MS = 15000;

export class Poll {
  #ask;
  #every;
  #when;
  #timer = null;
  #asking = false;
  #again = false;
  #failures = 0;

  /** `ask` returns a promise; it is called every so many milliseconds while `when()` holds. */
  constructor(ask, every, when = () => true) {
    this.#ask = ask;
    this.#every = every;
    this.#when = when;
    document.addEventListener("visibilitychange", () => this.now());
    session.addEventListener("opened", () => this.now());
  }

  /** Ask now, if this is to be asked at all, and then in turn. */
  async now() {
    clearTimeout(this.#timer);
    if (document.hidden || !session.open || !this.#when()) return;
    if (this.#asking) {
      this.#again = true;
      return;
    }
    this.#asking = true;
    try {
      await this.#ask();
      this.#failures = 0;
    } catch {
      this.#failures += 1; // whoever asks has told it; the header tells that nobody answers
    }
    this.#asking = false;
    const slowed = Math.min(SLOWEST_MS, this.#every * 2 ** this.#failures);
    this.#timer = setTimeout(() => this.now(), this.#again ? 0 : Math.max(this.#every, slowed));
    this.#again = false;
  }
}
