"""Plot, lanes, consumers, subscriptions and losses: what the API tells, as a person sees it."""

import json

import pytest

DASH = "\N{EN DASH}"

# -------------------------------------------------------------------------- plot


def test_plot_counts_the_last_hour(busy, live, an_event, wait):
    """Bars of the last hour, stacked by severity, and each new event is counted at once, once."""
    page = live()
    wait(page, "document.querySelector('#plot-total').innerText === '182 in the last hour'")
    assert page.locator("#plot .column").count() == 60
    boxes = page.eval_on_selector_all("#plot .bar", "bars => bars.map((b) => b.getBBox().height)")
    assert len(boxes) > 60
    assert min(boxes) > 0
    busy.post(an_event(183, severity="critical"))
    wait(page, "document.querySelector('#plot-total').innerText.startsWith('183')")
    legend = page.locator("#plot-legend span").all_inner_texts()
    assert legend == ["debug", "info", "notice", "warning", "error", "critical"]


def test_plot_by_type(busy, live):
    """Stacked by type, the five most frequent have a name, and all others are one."""
    page = live()
    page.click("#plot-type")
    page.wait_for_selector("#plot-legend >> text=other")
    legend = page.locator("#plot-legend span").all_inner_texts()
    assert len(legend) == 6
    assert legend[0].startswith("network.dl.kind-")
    assert page.inner_text("#plot-total") == "182 in the last hour"


def test_plot_by_keyboard(busy, live):
    """Arrow keys go from minute to minute, and what is there is told."""
    page = live()
    page.wait_for_selector("#plot .bar")
    page.focus("#plot")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#tip strong").endswith(" events")
    page.keyboard.press("Escape")
    assert page.is_hidden("#tip")


# -------------------------------------------------------------------------- interfaces


def test_lanes_are_drawn(busy, live, go):
    """One lane for a link and one for each address, with a span for each stretch of time."""
    page = live()
    go(page, "interfaces")
    assert page.locator("#lanes .label").all_inner_texts() == ["en0", "192.168.1.20/24"]
    assert page.locator("#lanes .link .span.up").count() == 2
    assert page.locator("#lanes .link .span.down").count() == 1
    wide, narrow = page.eval_on_selector_all(
        "#lanes .link .span.up, #lanes .link .span.down",
        "spans => spans.slice(0, 2).map((s) => s.getBoundingClientRect().width)",
    )
    assert wide / narrow == pytest.approx(15, rel=0.05)


def test_lanes_tell_by_pointer_and_by_keyboard(busy, live, go):
    """What is under the pointer, or reached by arrow keys, is told: state, from, to, how long."""
    page = live()
    go(page, "interfaces")
    page.hover("#lanes .link .span.down")
    assert page.inner_text("#tip").splitlines()[0] == "en0 down"
    assert page.inner_text("#tip").splitlines()[2] == "2 min"
    page.mouse.move(5, 5)
    assert page.is_hidden("#tip")
    page.focus("#lanes svg.link")
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#tip strong") == "en0 up"
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#tip strong") == "en0 down"


def test_range_of_the_lanes(busy, live, go):
    """Another range is asked for at once."""
    page = live()
    go(page, "interfaces")
    with page.expect_request("**/timeline?since=6h"):
        page.click("#ranges >> text=6h")
    assert page.get_attribute("#ranges >> text=6h", "aria-pressed") == "true"


def test_young_daemon(busy, live, made, go):
    """Of a daemon that has run for minutes, minutes are shown, not an hour of nothing."""
    busy.looked_from = made.ago(minutes=4)
    page = live()
    go(page, "interfaces")
    page.wait_for_selector("#ranges [aria-pressed=true] >> text=15m")


def test_interfaces_now(busy, live, go):
    """How each interface is now, since when, and with which addresses."""
    page = live()
    go(page, "interfaces")
    rows = [text.split("\t") for text in page.locator("#now tr").all_inner_texts()]
    assert [row[:2] for row in rows] == [["en0", "up"], ["en1", "down"]]
    assert rows[0][3].split() == ["192.168.1.20/24", "1e:00:8a:00:10:01"]


# -------------------------------------------------------------------------- delivery


def test_consumers(busy, live, go):
    """State, lag, figures, last error and next attempt of each; trouble shows on the tab."""
    page = live()
    go(page, "delivery")
    rows = [text.split("\t") for text in page.locator("#consumer-rows tr").all_inner_texts()]
    assert rows[0] == ["jsonl jsonl", "healthy", "0", "10", "0", DASH, DASH]
    assert rows[1][:6] == ["pager webhook", "retrying", "1,204", "10", "3", "HTTP 503"]
    assert rows[1][6].startswith("in 1 min")
    assert page.inner_text("#delivery-badge") == "1"


def test_status_is_asked_for_while_the_page_is_seen(busy, live, watch):
    """Every two seconds, and not at all while the page is hidden."""
    page = live(clock=True)
    page.click("#tab-delivery")
    page.wait_for_selector("#webhooks article")
    page.wait_for_selector("#consumer-rows tr")
    for path in ("status", "webhooks"):
        with page.expect_response(f"**/v1/{path}"):
            page.clock.fast_forward(4_000)
    page.evaluate(
        "Object.defineProperty(document, 'hidden', { value: true, configurable: true });"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    before = len(watch.requests)
    page.clock.fast_forward(60_000)
    assert page.evaluate("document.hidden")  # whatever is asked for by now is known here
    assert watch.requests[before:] == []
    with page.expect_request("**/v1/status"):
        page.evaluate(
            "delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))"
        )


def test_pause_and_resume_a_webhook(busy, live, go):
    """The button says what it does; the answer is told; the other webhook is left alone."""
    page = live()
    go(page, "delivery")
    buttons = page.locator("#webhooks .stand")
    assert buttons.all_inner_texts() == ["Pause", "Resume"]
    buttons.nth(0).click()
    page.wait_for_selector(".said.good")
    assert busy.did() == [("/v1/webhooks/pager/pause", "")]
    buttons.nth(1).click()
    page.wait_for_selector("article:nth-child(2) .said.good")
    assert busy.did()[1:] == [("/v1/webhooks/chat/resume", "")]


def test_refusal_is_told(busy, live, watch, go):
    """What the API refuses is told by the button, with its hint."""
    watch.expect("409")
    busy.answers["/v1/webhooks/pager/pause"] = (409, {"error": "it is disabled", "hint": "resume"})
    page = live()
    go(page, "delivery")
    page.click("#webhooks >> text=Pause")
    page.wait_for_selector(".said.bad")
    assert page.inner_text(".said.bad") == f"it is disabled {DASH} resume"


def test_test_of_a_webhook(busy, live, go):
    """The receiver's answer is shown, good or bad."""
    page = live()
    go(page, "delivery")
    page.click("article:first-child >> text=Test")
    page.wait_for_selector(".said.good")
    assert page.inner_text(".said.good") == "Taken: HTTP 204 in 12 ms"
    busy.acts["test"] = {"ok": False, "error": "ECONNREFUSED"}
    page.click("article:first-child >> text=Test")
    page.wait_for_selector(".said.bad")
    assert page.inner_text(".said.bad") == "No answer: ECONNREFUSED"


def test_replay_is_asked_twice(busy, live, wait, go):
    """A replay is for a time or for dead letters, and begins only when it is confirmed."""
    page = live()
    go(page, "delivery")
    replay = "article:first-child >> text=Replay…"
    page.click(replay)
    page.keyboard.press("Escape")
    page.click(replay)
    page.click("#replay >> text=Cancel")
    assert busy.did() == []
    page.click(replay)
    assert "3 dead letters" in page.inner_text("#replay")
    page.check("#replay input[value=failed]")
    with page.expect_response("**/replay"):
        page.click("#replay >> text=Deliver again")
    page.wait_for_selector(".said.good")
    page.click(replay)
    page.fill("#replay-since", "2h")
    with page.expect_response("**/replay"):
        page.keyboard.press("Enter")
    bodies = [json.loads(body) for path, body in busy.did() if path.endswith("/replay")]
    assert bodies == [{"failed": True}, {"since": "2h"}]


def test_replay_without_dead_letters(busy, live, go):
    """Where nothing failed, that choice is not there to be made."""
    page = live()
    go(page, "delivery")
    page.click("article:nth-child(2) >> text=Replay…")
    assert page.is_disabled("#replay input[value=failed]")


# -------------------------------------------------------------------------- losses


def test_everything_accounted_for(fake, live, go):
    """Without a loss the page says so in words, with the figure."""
    page = live()
    go(page, "losses")
    assert page.inner_text("#verdict h2") == "Everything accounted for"
    assert page.inner_text("#verdict-text").endswith("was read: 10.")
    assert "no loss" in page.inner_text("#reports-empty")
    assert page.is_hidden("#losses-badge")


def test_losses_and_why(busy, live, go):
    """What was lost stands there by source, with why, and what went by while no daemon ran."""
    page = live()
    go(page, "losses")
    assert page.inner_text("#verdict h2") == "12 lost in this run"
    assert "37 events went by before" in page.inner_text("#verdict-text")
    assert page.inner_text("#verdict-whys") == f"12 events were lost {DASH} a larger buffer"
    page.wait_for_selector("#account >> text=id-gap")
    account = dict(text.split("\t") for text in page.locator("#account tr").all_inner_texts())
    assert account["Posted to this daemon"] == "1,012"
    assert account["Lost before they were read"] == "12"
    assert account["id-gap: the kernel posted them, and their ids never came"] == "12"
    assert account["Missed while no daemon ran"] == "37"
    reports = page.locator("#reports li strong").all_inner_texts()
    assert reports == ["37 events missed", "12 events lost"]
    assert page.inner_text("#losses-badge") == "12"


def test_loss_on_the_way_to_a_consumer(fake, made, live, go):
    """What a consumer gave up is a loss as well, though everything was read."""
    fake.status = made.a_status(
        consumers=[made.a_consumer("exec", dropped=4)], journal={"lost": 2, "damaged": 0}
    )
    page = live()
    go(page, "losses")
    assert page.inner_text("#verdict h2") == "6 lost in this run"
    account = page.inner_text("#account")
    assert "Given up by exec\t4" in account
    assert "Lost in the journal\t2" in account


def test_missed_that_cannot_be_known(fake, made, live, go):
    """Not known is not none."""
    fake.status = made.a_status(events={"missed_before_start": None})
    page = live()
    go(page, "losses")
    assert "cannot be known" in page.inner_text("#verdict-text")
    assert "Missed while no daemon ran\tnot known" in page.inner_text("#account")
