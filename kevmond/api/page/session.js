// Owns the page's token: taken from the address once, kept for this tab only, never shown again.
//
// Fires "opened" when there is a token (again) and "locked" when the daemon no longer takes it.

const KEPT = "kevmond.token";

class Session extends EventTarget {
  #token = null;
  #locked = false;

  constructor() {
    super();
    this.#token = sessionStorage.getItem(KEPT);
    this.#take();
    // A second `kevmond open` may bring a new token to the page that is already there.
    window.addEventListener("hashchange", () => {
      if (this.#take()) this.dispatchEvent(new Event("opened"));
    });
  }

  get token() {
    return this.#token;
  }

  /** Whether it is worth while to ask the daemon anything. */
  get open() {
    return this.#token !== null && !this.#locked;
  }

  /** Take note that the daemon refused a token; only the one in use counts. */
  refuse(token) {
    if (this.#locked || token !== this.#token) return;
    this.#locked = true;
    this.dispatchEvent(new Event("locked"));
  }

  #take() {
    const found = /^#token=([\w.~-]+)$/.exec(location.hash);
    if (found === null) return false;
    history.replaceState(null, "", location.pathname + location.search);
    this.#token = found[1];
    this.#locked = false;
    sessionStorage.setItem(KEPT, this.#token);
    return true;
  }
}

export const session = new Session();
