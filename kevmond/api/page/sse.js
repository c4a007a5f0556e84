// Owns the text/event-stream format (WHATWG HTML, 9.2.6): text in pieces in, messages out.
// EventSource cannot send the page's token, so the stream is read by fetch and cut up here.

const LINE_END = /\r\n|\n|\r/;

export class SseParser {
  #rest = "";
  #begun = false;
  #event = "";
  #data = [];
  #id = "";

  /** Take a piece of the stream, of any length; return the messages that it completes. */
  push(text) {
    if (!this.#begun && text) {
      this.#begun = true;
      if (text.charCodeAt(0) === 0xfeff) text = text.slice(1);
    }
    text = this.#rest + text;
    // The LF of a CR at the end may come with the next piece.
    const end = text.endsWith("\r") ? text.length - 1 : text.length;
    const lines = text.slice(0, end).split(LINE_END);
    this.#rest = lines.pop() + text.slice(end);
    const found = [];
    for (const line of lines) this.#line(line, found);
    return found;
  }

  #line(line, found) {
    if (line === "") {
      if (this.#data.length) {
        const type = this.#event || "message";
        found.push({ type, data: this.#data.join("\n"), id: this.#id });
      }
      this.#event = "";
      this.#data = [];
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return; // a comment
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (field === "event") this.#event = value;
    else if (field === "data") this.#data.push(value);
    else if (field === "id" && !value.includes("\0")) this.#id = value;
  }
}
