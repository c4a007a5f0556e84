"""The live stream: what comes, what waits, what is filtered, and what one event says."""

import json

import pytest

ROWS = "#rows tr.event"
EVIL = (
    "<img src=x onerror=\"console.error('ran')\">",
    "<script>console.error('ran')</script>",
    "javascript:console.error('ran')",
    "\u202egnp.exe\u0007\x1b[31m",
    "{{constructor.constructor('x')()}}",
)


def texts(page, column):
    """Return the texts of a column, from above."""
    return page.locator(f"{ROWS} td.{column}").all_inner_texts()


def seqs(page):
    """Return the positions of the rows, from above."""
    return page.eval_on_selector_all(ROWS, "rows => rows.map((row) => Number(row.dataset.seq))")


def test_events_appear_as_they_come(fake, live, an_event, rows):
    """An event that is posted while the page is open stands on top of those before."""
    fake.events = [an_event(1), an_event(2)]
    page = live()
    rows(page, 2)
    fake.post(an_event(3, kind="network.inet.new-addr", payload={"address": "192.168.1.20"}))
    rows(page, 3)
    assert seqs(page) == [3, 2, 1]
    assert texts(page, "type")[0] == "network.inet.new-addr"
    assert texts(page, "interface")[0] == "en0"
    assert texts(page, "summary")[0].strip() == "address=192.168.1.20"


def test_severity_is_told_by_its_word(fake, live, an_event, made, rows):
    """Colour alone tells nothing: each severity stands there as a word, and each looks its own."""
    fake.events = [an_event(at + 1, severity=word) for at, word in enumerate(made.SEVERITIES)]
    page = live()
    rows(page, 6)
    assert texts(page, "level") == list(reversed(made.SEVERITIES))
    colours = page.eval_on_selector_all(
        f"{ROWS} .severity", "pills => pills.map((pill) => getComputedStyle(pill).color)"
    )
    assert len(set(colours)) == 6


def test_token_leaves_the_address(fake, live):
    """The token is neither in the address nor in what is asked for, and a reload keeps it."""
    page = live()
    assert page.url == f"{fake.origin}/"
    page.reload()
    page.wait_for_selector(".connection[data-state=live]")
    assert page.evaluate("location.hash + document.referrer") == ""


def test_rows_are_bounded(fake, live, an_event, wait):
    """However many events come, the table has 500 rows: the newest."""
    page = live()
    fake.post(*[an_event(seq) for seq in range(1, 1301)])
    wait(page, "document.querySelector('#rows tr')?.dataset.seq === '1300'")
    assert seqs(page) == list(range(1300, 800, -1))
    assert "newest 500" in page.inner_text("#foot")


def test_pause_holds_rows_and_counts(fake, live, an_event, rows):
    """Paused, nothing moves; what waits is counted, shown on demand, and flows when resumed."""
    fake.events = [an_event(1)]
    page = live()
    rows(page, 1)
    page.click("#pause")
    fake.post(an_event(2), an_event(3))
    page.wait_for_selector("#newer:has-text('2 waiting events')")
    assert seqs(page) == [1]
    page.click("#newer")
    rows(page, 3)
    fake.post(an_event(4))
    page.wait_for_selector("#newer:has-text('1 waiting event')")
    page.click("#pause")
    rows(page, 4)
    assert seqs(page) == [4, 3, 2, 1]


def test_nothing_moves_under_a_reader(fake, live, an_event, rows):
    """Who has scrolled down reads: rows come when the top is seen again."""
    fake.events = [an_event(seq) for seq in range(1, 101)]
    page = live()
    rows(page, 100)
    page.eval_on_selector("#scroller", "node => node.scrollTo(0, 600)")
    fake.post(an_event(101))
    page.wait_for_selector("#newer:has-text('1 new event')")
    assert seqs(page)[0] == 100
    page.eval_on_selector("#scroller", "node => node.scrollTo(0, 0)")
    rows(page, 101)
    assert page.is_hidden("#newer")


def test_older_events_are_fetched_on_demand(fake, live, an_event, rows):
    """The table begins with the newest 200; more come from the history when asked for."""
    fake.events = [an_event(seq) for seq in range(1, 251)]
    page = live()
    rows(page, 200)
    page.click("#older")
    rows(page, 250)
    assert seqs(page) == list(range(250, 0, -1))
    assert page.is_hidden("#older")


def test_gap_is_shown(fake, live, an_event, rows):
    """What retention took before it was read stands in the stream as a gap, with its count."""
    page = live()
    fake.post(an_event(1))
    fake.tell("missed", {"missed": 40, "first": 2, "last": 41, "reason": "let go"}, seq=41)
    fake.post(an_event(42))
    rows(page, 2)
    shown = page.locator("#rows tr").all_inner_texts()
    assert shown[1] == "gap: 40 events missed (2 to 41): let go"
    assert "gap: 40 events" in page.inner_text("#said")


def test_stream_goes_on_from_its_cursor(fake, live, an_event, watch, rows):
    """After a cut the page asks for what is behind its last event: nothing lost, nothing twice."""
    watch.expect("503")
    page = live()
    fake.post(an_event(1), an_event(2))
    rows(page, 2)
    fake.closed = True
    fake.cut()
    page.wait_for_selector(".connection[data-state=waiting]")
    fake.post(an_event(3), an_event(4))
    fake.closed = False
    page.wait_for_selector(".connection[data-state=live]")
    rows(page, 4)
    fake.post(an_event(5))
    rows(page, 5)
    assert seqs(page) == [5, 4, 3, 2, 1]
    assert fake.resumed == [None, "2"]


def test_doubles_are_passed_over(fake, live, an_event, rows):
    """An event that is sent a second time is no second row."""
    page = live()
    fake.post(an_event(1), an_event(2))
    fake.post(an_event(2), an_event(3))
    rows(page, 3)
    assert seqs(page) == [3, 2, 1]


def test_cursor_moves_on_behind_a_filter(fake, live, an_event, rows, wait):
    """A reconnecting page does not ask again for what its filter held back."""
    fake.passes = {"severity>=error": lambda event: event["severity"] == "error"}
    page = live()
    page.fill("#filter", "severity>=error")
    page.keyboard.press("Enter")
    wait(page, "document.querySelector('#empty').innerText.includes('filter')")
    fake.post(an_event(1, severity="error"), an_event(2), an_event(3))
    rows(page, 1)
    fake.cut()
    page.wait_for_selector(".connection[data-state=waiting]")
    page.wait_for_selector(".connection[data-state=live]")
    assert fake.resumed[-1] == "3"


def test_journal_that_began_anew(fake, live, an_event, rows):
    """When positions begin again, the page says so and shows the events of the new journal."""
    page = live()
    fake.post(an_event(70), an_event(71))
    rows(page, 2)
    fake.tell("missed", {"missed": None, "reason": "the journal began anew"}, seq=0)
    fake.post(an_event(1, kind="kevmond.start"))
    rows(page, 3)
    assert seqs(page) == [1, 71, 70]
    assert "the journal began anew" in page.inner_text("#rows tr.gap")


# -------------------------------------------------------------------------- filter


def test_filter_narrows(fake, live, an_event, rows, wait):
    """A rule in the box holds for what stood there before, for what comes, and for the plot."""
    fake.passes = {"interface=en1": lambda event: event["interface"] == "en1"}
    fake.events = [an_event(1), an_event(2, interface="en1")]
    page = live()
    rows(page, 2)
    page.keyboard.press("/")
    page.keyboard.type("interface=en1")
    page.keyboard.press("Enter")
    rows(page, 1)
    fake.post(an_event(3), an_event(4, interface="en1"))
    rows(page, 2)
    assert seqs(page) == [4, 2]
    wait(page, "document.querySelector('#plot-total').innerText.startsWith('2 ')")
    page.click("#filter-clear")
    rows(page, 4)


def test_several_rules_are_sent_as_such(fake, live, wait):
    """A semicolon, but not one in quotes, separates rules."""
    page = live()
    page.fill("#filter", "interface='a;b' ; drop type=kevmond.*")
    page.keyboard.press("Enter")
    wait(page, "document.querySelector('#empty').innerText.includes('filter')")
    sent = [path for _, path, _ in fake.asked if path.startswith("/v1/events/stream")][-1]
    assert sent.endswith("?filter=interface%3D%27a%3Bb%27&filter=drop+type%3Dkevmond.*")


def test_bad_filter_is_explained(fake, live, an_event, watch, rows):
    """What the API says of a rule stands under the box; the filter in force stays, and works."""
    watch.expect("422")
    fake.bad_filter = ("sevrity=error", "rule 'sevrity=error': unknown key", "is it severity?")
    fake.events = [an_event(1)]
    page = live()
    page.fill("#filter", "sevrity=error")
    page.wait_for_selector("#filter-error")  # without Enter, after a moment
    expected = "rule 'sevrity=error': unknown key \N{EN DASH} is it severity?"
    assert page.inner_text("#filter-error") == expected
    assert page.get_attribute("#filter", "aria-invalid") == "true"
    fake.post(an_event(2))
    rows(page, 2)
    page.fill("#filter", "")
    page.wait_for_selector("#filter-error", state="hidden")


def test_kept_filter_that_is_no_more_understood(fake, live, browse, watch):
    """A filter kept from before, which this daemon refuses, is told too, and can be changed."""
    watch.expect("422")
    page = live()
    page.evaluate("sessionStorage.setItem('kevmond.filter', 'old=1')")
    fake.bad_filter = ("old=1", "rule 'old=1': unknown key 'old'", "")
    page.reload()
    page.wait_for_selector("#filter-error")
    assert page.inner_text("#connection-text") == "stream refused"
    page.fill("#filter", "")
    page.keyboard.press("Enter")
    page.wait_for_selector(".connection[data-state=live]")


def test_filter_from_an_event(fake, live, an_event, rows):
    """An event's type and interface become a rule by one click, whatever is in them."""
    fake.events = [an_event(1, interface="it's en0")]
    page = live()
    page.click(ROWS)
    page.click("text=Only this interface")
    assert page.input_value("#filter") == """interface='it'"'"'s en0'"""
    rows(page, 1)
    page.click(ROWS)
    page.click("text=Without this type")
    assert page.input_value("#filter").endswith("; drop type=network.dl.link-on")


# -------------------------------------------------------------------------- one event


def test_detail_shows_all_of_an_event(fake, live, an_event):
    """Fields, who got it and why, every byte in hex, and the JSON as it is."""
    event = an_event(7, payload={"address": "10.0.0.1", "flags": ["a", "b"]}, extra="2a2b")
    fake.events = [event]
    fake.explained.append({"name": "pager", "type": "webhook", "verdict": "filtered", "why": "no"})
    page = live()
    page.click(ROWS)
    page.wait_for_selector("#detail .who >> text=pager")
    fields = page.inner_text("#detail .fields")
    assert "address\n10.0.0.1" in fields
    assert "flags\na, b" in fields
    assert page.locator("#detail .who li").all_inner_texts()[1].split() == [
        "pager",
        "webhook",
        "filtered",
        "no",
    ]
    dump = page.text_content("#detail pre.hex").splitlines()
    assert dump[0].startswith("0000  30 00 00 00 01 00 00 00  01 00 00 00 02 00 00 00  0···")
    assert dump[-1].split()[0] == "0020"
    assert page.text_content("#detail .hex .extra").strip() == "2a 2b"
    assert json.loads(page.text_content("#detail pre.json")) == event
    page.click("#detail button[aria-label=Close]")
    assert page.is_hidden("#detail")


def test_events_flow_again_when_the_detail_is_closed(fake, live, an_event, rows):
    """While an event is read nothing moves; Esc lets go."""
    fake.events = [an_event(1)]
    page = live()
    page.click(ROWS)
    fake.post(an_event(2))
    page.wait_for_selector("#newer:has-text('1 new event')")
    page.keyboard.press("Escape")
    rows(page, 2)
    assert page.is_hidden("#detail")


def test_keyboard(fake, live, an_event, rows):
    """All of the stream can be used without a pointer."""
    fake.events = [an_event(1), an_event(2), an_event(3, kind="network.dl.link-off")]
    page = live()
    rows(page, 3)
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    assert page.evaluate("document.activeElement.dataset.seq") == "3"
    assert page.get_attribute(f"{ROWS}[aria-selected=true]", "data-seq") == "3"
    page.keyboard.press("Enter")
    assert page.inner_text("#detail-title") == "network.dl.link-off"
    page.keyboard.press("ArrowDown")
    assert page.inner_text("#detail-title") == "network.dl.link-on"
    page.keyboard.press("Escape")
    assert page.is_hidden("#detail")
    page.keyboard.press("p")
    assert page.get_attribute("#pause", "aria-pressed") == "true"
    page.keyboard.press("p")
    page.keyboard.press("/")
    page.keyboard.type("p?j")
    assert page.input_value("#filter") == "p?j"
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    assert page.is_visible("#help")
    page.keyboard.press("Escape")
    assert page.is_hidden("#help")
    for number, view in enumerate(("events", "interfaces", "delivery", "losses"), start=1):
        page.keyboard.press(str(number))
        assert page.is_visible(f"#{view}")
    page.keyboard.press("Home")
    assert page.is_visible("#events")


@pytest.mark.parametrize("evil", EVIL)
def test_hostile_text_stays_text(fake, live, made, an_event, evil, wait):
    """Whatever a field holds is shown, and never becomes an element, an address or a script."""
    fake.events = [
        an_event(
            1,
            kind=f"network.{evil}",
            severity=evil,
            interface=evil,
            payload={evil: evil, "list": [evil], "deep": {evil: [evil]}},
            decode=evil,
            reason=evil,
            extra=evil,
        ),
        an_event(
            2, kind="kevmond.loss", payload={"lost": 1, "late": 0, "source": evil, "detail": evil}
        ),
    ]
    fake.status = made.a_status(
        health="failing",
        problems=[{"what": evil, "text": evil, "hint": evil}],
        warnings=[{"what": "loss", "text": evil, "hint": evil}],
        consumers=[made.a_consumer(evil, type=evil, state=evil, last_error=evil)],
    )
    fake.status["kernel"]["host"] = evil
    fake.webhooks = [
        made.a_webhook("wh", url=evil, filter=[evil], reason=evil, standing=evil, last_error=evil)
    ]
    fake.explained = [{"name": evil, "type": evil, "verdict": evil, "why": evil}]
    fake.lanes = [
        {
            "interface": evil,
            "kind": "address",
            "label": evil,
            "spans": [{"from": made.ago(minutes=5), "to": None, "state": evil}],
        }
    ]
    fake.interfaces = [made.an_interface(evil, state=evil)]
    fake.acts["test"] = {"ok": False, "status": 500, "outcome": evil, "seconds": 1, "body": evil}
    page = live()
    before = page.evaluate("document.querySelectorAll('img, script, iframe, a').length")
    page.click(f"{ROWS}:last-child")
    page.wait_for_selector("#detail .who .word")
    for view in ("interfaces", "delivery", "losses"):
        page.click(f"#tab-{view}")
        wait(page, f"document.querySelector('#{view}').innerText.length > 100")
    page.click("#tab-delivery")
    page.click("#webhooks >> text=Test")
    page.wait_for_selector(".said.bad")
    assert page.evaluate("document.querySelectorAll('img, script, iframe, a').length") == before
    assert page.evaluate("document.querySelectorAll('main [onerror], main [href]').length") == 0
    shown = page.evaluate("document.body.textContent")
    assert not {"\u202e", "\u0007", "\x1b"} & set(shown)
    if evil.isprintable():
        assert shown.count(evil) >= 10
