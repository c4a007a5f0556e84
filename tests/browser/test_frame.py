"""The page as a whole: health, token, dark and light, narrow and wide, for eyes and for ears."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent
DASH = "\N{EN DASH}"
VIEWS = ("events", "interfaces", "delivery", "losses")
FAINT = (HERE / "contrast.js").read_text()
UNNAMED = (HERE / "unnamed.js").read_text()


def test_header_tells_health(busy, live, made):
    """A daemon that fails opens its problems by itself; one that is well again closes them."""
    page = live()
    page.wait_for_selector("#problems >> text=pager is disabled")
    assert page.inner_text("#health") == f"✕ failing {DASH} 1 problem, 1 warning"
    assert page.inner_text("#problems code") == "kevmond webhook resume pager"
    page.click("#health")
    assert page.is_hidden("#problems")
    busy.status = made.a_status()
    page.wait_for_selector("#health:has-text('● ok')")
    assert page.is_disabled("#health")
    facts = page.inner_text("#facts")
    assert facts == "up 2 h 11 min · kevmond 0.1.0 · simulated · 44.0 MiB · 0.4 % CPU"
    assert page.title() == f"testhost {DASH} kevmond"


def test_silent_daemon_is_not_shown_as_well(fake, live, watch):
    """When nobody answers any more, the health that was is not shown as the health that is."""
    watch.expect("ERR_|500")
    page = live()
    page.wait_for_selector("#health:has-text('ok')")
    fake.answers["/v1/status"] = (500, {"error": "no"})
    page.wait_for_selector("#health:has-text('? no answer')")


def test_unreachable_daemon_is_told(fake, live, watch):
    """A daemon that stays away is told in words, with what to do; the words go when it is back."""
    watch.expect("ERR_|503")
    page = live(clock=True)
    fake.closed = True
    fake.cut()
    for _ in range(4):
        page.wait_for_selector(".connection[data-state=waiting]")
        page.clock.fast_forward(15_000)
    page.wait_for_selector("#notice code:has-text('kevmond open')")
    fake.closed = False
    page.clock.fast_forward(15_000)
    page.wait_for_selector(".connection[data-state=live]")
    assert page.is_hidden("#notice")


def test_page_without_a_token(fake, browse):
    """Without a token nothing is asked for, and the page tells how to get one."""
    page = browse(f"{fake.origin}/")
    page.wait_for_selector("#notice code:has-text('kevmond open')")
    assert page.is_hidden("main")
    assert fake.asked == []


def test_new_token_for_an_open_page(fake, live, an_event, watch, wait):
    """A token that is no longer taken is told; another one goes on where the stream was."""
    watch.expect("401")
    page = live(clock=True)
    fake.post(an_event(1))
    page.wait_for_selector("#rows tr.event")
    fake.token = "another-token"
    fake.cut()
    page.wait_for_selector("#notice >> text=no longer takes")
    page.clock.fast_forward(5_000)
    asked = len(watch.requests)
    page.clock.fast_forward(60_000)
    assert page.is_visible("#notice")
    assert len(watch.requests) == asked
    fake.post(an_event(2))
    page.evaluate("location.hash = '#token=another-token'")
    page.wait_for_selector(".connection[data-state=live]")
    wait(page, "document.querySelectorAll('#rows tr.event').length === 2")
    assert page.is_hidden("#notice")
    assert page.url == f"{fake.origin}/"
    assert fake.resumed[-1] == "1"


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_dark_and_light(busy, live, scheme, go):
    """The page follows the system, and every text can be read: contrast 4.5 to 1 at least."""
    page = live(scheme=scheme)
    assert page.get_attribute("html", "data-theme") == scheme
    page.wait_for_selector("#problems li")
    for view in VIEWS:
        go(page, view)
        assert page.evaluate(FAINT) == [], view
    go(page, "events")
    page.click("#rows tr.event")
    page.wait_for_selector("#detail .who .word")
    assert page.evaluate(FAINT) == []


def test_theme_can_be_chosen(fake, live):
    """The button and `t` change it; the choice outlives a reload."""
    page = live(scheme="dark")
    page.click("#theme")
    assert page.get_attribute("html", "data-theme") == "light"
    page.reload()
    assert page.get_attribute("html", "data-theme") == "light"
    page.keyboard.press("t")
    assert page.get_attribute("html", "data-theme") == "dark"


def test_theme_follows_the_system(fake, live):
    """A system that turns dark in the evening takes the page along."""
    page = live(scheme="light")
    page.emulate_media(color_scheme="dark")
    page.wait_for_selector("html[data-theme=dark]")


@pytest.mark.parametrize("size", [(390, 844), (820, 1100), (1600, 900)])
def test_nothing_overflows(busy, live, size, go):
    """On a phone, a tablet and a wide screen no view is wider than the window."""
    page = live(size=size)
    for view in VIEWS:
        go(page, view)
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0], view
        node = page.locator(f"#{view}")
        assert node.evaluate("node => node.scrollWidth - node.clientWidth") <= 0, view


def test_everything_has_a_name(busy, live, go):
    """Whoever hears the page hears what each button, field, picture and region is."""
    page = live()
    for view in VIEWS:
        go(page, view)
        assert page.evaluate(UNNAMED) == []


def test_nothing_moves_where_that_is_wished(busy, live, an_event):
    """With reduced motion nothing is animated."""
    page = live(reduced_motion="reduce")
    busy.post(an_event(900))
    page.wait_for_selector("#rows tr[data-seq='900']")
    assert page.evaluate("document.getAnimations().length") == 0
