"""docs/events.md is what the declarations say."""

import re
from pathlib import Path

from kevmond.events import catalogue
from kevmond.events.docs import markdown
from kevmond.events.own import OWN

PAGE = Path(__file__).parents[2] / "docs/events.md"


def test_the_page_is_up_to_date():
    """The page was written after the last change of a declaration (`make docs` writes it)."""
    assert PAGE.read_text() == markdown()


def test_every_event_is_on_the_page():
    """Each kind is found by its type and by its C name, each payload by its own heading."""
    page = markdown()
    for kind in catalogue.kinds():
        assert f"`{kind.type}`<br>`{kind.macro}`" in page
        for variant in kind.variants:
            assert page.count(f"#### {variant.payload.__name__}\n") == 1
    for own_type in OWN:
        assert f"### {own_type}\n" in page


def test_every_link_leads_somewhere():
    """Each link within the page has a heading that it leads to."""
    page = markdown()
    headings = [line.lstrip("#").strip() for line in page.splitlines() if line.startswith("#")]
    anchors = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in headings}
    links = set(re.findall(r"\]\(#([^)]+)\)", page))
    assert links - anchors == set()
