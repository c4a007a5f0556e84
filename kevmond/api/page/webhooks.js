// Owns the list of subscriptions, and what can be done with one: pause, resume, test, replay.

import { get, post } from "./api.js";
import { button, byId, el, keyed, printable, setText, show } from "./dom.js";
import { clock, count, counted, moment } from "./format.js";
import { nextText } from "./consumers.js";
import { Poll } from "./poll.js";
import { askReplay } from "./replay.js";
import { isShown } from "./tabs.js";
import { stateWord } from "./words.js";

const EVERY_MS = 3000;
const EXCERPT = 200;

export class Webhooks {
  #poll = new Poll(
    () => this.#load(),
    EVERY_MS,
    () => isShown("delivery"),
  );

  /** Ask now, because the view was opened. */
  shown() {
    this.#poll.now();
  }

  async #load() {
    const { webhooks } = await get("/v1/webhooks");
    keyed(
      byId("webhooks"),
      webhooks,
      (each) => each.name,
      (each) => this.#card(each),
      update,
    );
    show(byId("webhooks-empty"), webhooks.length === 0);
    setText(byId("webhooks-sum"), webhooks.length ? counted(webhooks.length, "webhook") : "");
  }

  #card({ name }) {
    const said = el("p", { class: "said", role: "status" });
    const act = (word, call) => button(word, (event) => this.#act(event.currentTarget, said, call));
    const stand = act("Pause", () => this.#stand(card, name));
    stand.classList.add("stand");
    const path = `/v1/webhooks/${encodeURIComponent(name)}`;
    const card = el(
      "article",
      { class: "webhook", "aria-label": `Webhook ${printable(name)}` },
      el(
        "header",
        {},
        el("h3", {}, printable(name)),
        el("span", { class: "standing" }),
        el("span", { class: "muted origin" }),
      ),
      el("p", { class: "url" }),
      el("dl", { class: "figures" }),
      el("p", { class: "trouble" }),
      el("p", { class: "replay" }),
      el(
        "footer",
        {},
        stand,
        act("Test", async () => testText(await post(`${path}/test`))),
        button("Replay…", (event) => this.#replay(event.currentTarget, said, card, path)),
        said,
      ),
    );
    return card;
  }

  async #stand(card, name) {
    const resting = card.dataset.standing !== "active";
    await post(`/v1/webhooks/${encodeURIComponent(name)}/${resting ? "resume" : "pause"}`);
    return ["good", resting ? "It delivers again." : "Paused: what comes waits in the journal."];
  }

  async #replay(node, said, card, path) {
    const facts = {
      name: card.dataset.key,
      url: card.dataset.url,
      dead: Number(card.dataset.dead),
    };
    const wanted = await askReplay(facts);
    if (wanted === null) return;
    await this.#act(node, said, async () => {
      const { replay } = await post(`${path}/replay`, wanted);
      return ["good", `Replay of ${replay.what} begun.`];
    });
  }

  /** Do something once, with the button held meanwhile, and tell what came of it. */
  async #act(node, said, call) {
    node.disabled = true;
    said.className = "said";
    setText(said, "…");
    try {
      const [kind, text] = await call();
      said.className = `said ${kind}`;
      setText(said, printable(text));
    } catch (error) {
      said.className = "said bad";
      setText(said, printable(error.hint ? `${error.message} – ${error.hint}` : error.message));
    }
    node.disabled = false;
    if (document.activeElement === document.body) node.focus();
    this.#poll.now();
  }
}

function testText({ ok, status, outcome, seconds, body, error }) {
  if (status === undefined) return ["bad", `No answer: ${error}`];
  const text = `${ok ? "Taken" : "Refused"}: HTTP ${status} in ${Math.round(seconds * 1000)} ms`;
  const told = !ok && outcome ? ` (${outcome})` : "";
  const excerpt = body ? ` – ${body.slice(0, EXCERPT)}` : "";
  return [ok ? "good" : "bad", text + told + excerpt];
}

function update(card, each) {
  const part = (name) => card.querySelector(`.${name}`);
  card.dataset.standing = each.standing;
  card.dataset.url = each.url ?? "";
  card.dataset.dead = each.dead_letters;
  setText(part("stand"), each.standing === "active" ? "Pause" : "Resume");
  if (part("standing").textContent !== each.state)
    part("standing").replaceChildren(stateWord(each.state));
  setText(
    part("origin"),
    each.origin === "configuration"
      ? "from the configuration"
      : each.created
        ? `since ${moment(each.created)}`
        : "",
  );
  setText(part("url"), printable(each.url ?? "no address"));
  figures(part("figures"), [
    ["filter", each.filter?.length ? each.filter.join("; ") : "everything"],
    ["waiting", count(each.lag)],
    ["delivered", count(each.delivered)],
    ["retried", count(each.retried)],
    ["dead letters", count(each.dead_letters)],
    ["signed", each.signed ? "yes" : "no"],
  ]);
  setText(part("trouble"), trouble(each));
  setText(part("replay"), replayText(each.replay));
}

function figures(node, rows) {
  keyed(
    node,
    rows,
    ([name]) => name,
    ([name]) => el("div", {}, el("dt", {}, name), el("dd", {})),
    (row, [, text]) => setText(row.lastChild, printable(text)),
  );
}

function trouble({
  standing,
  reason,
  since,
  state,
  attempts,
  last_error: error,
  next_attempt: next,
}) {
  if (standing !== "active") {
    return printable(
      `${standing}${since ? ` since ${moment(since)}` : ""}${reason ? `: ${reason}` : ""}`,
    );
  }
  if (!error || state === "healthy") return "";
  const tries = attempts ? ` (${counted(attempts, "attempt")}, next ${nextText(next)})` : "";
  return printable(`${error}${tries}`);
}

function replayText(replay) {
  if (!replay) return "";
  const refused = replay.refused ? `, ${count(replay.refused)} refused` : "";
  const error = replay.error ? `: ${replay.error}` : "";
  return printable(
    `Replay of ${replay.what}, begun ${clock(replay.started, { precise: false })}: ${replay.state}, ${count(replay.taken)} taken${refused}${error}`,
  );
}
