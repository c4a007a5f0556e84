"""`kevmond events`: the catalogue, to read and to search."""

import json

import pytest

from kevmond.events import catalogue


def types(result):
    """First word of each line."""
    return [line.split()[0] for line in result.out.splitlines()]


def test_every_event_is_listed(kevmond):
    """One line each: type, numbers, description."""
    result = kevmond("events")
    assert types(result) == [kind.type for kind in catalogue.kinds()]
    assert "network.dl.link-on" in result.out
    assert "1.2.13" in result.out
    assert result.code == 0


@pytest.mark.parametrize(
    ("search", "some", "none"),
    [
        (["link"], "network.dl.link-on", "system.ctl.registered"),
        (["KEV_INET_ARPCOLLISION"], "network.inet.arp-collision", "network.inet.new-addr"),
        (["network.nd6.*"], "network.nd6.nd-alive", "network.dl.link-on"),
        (["duplicate"], "network.nd6.dad-failure", "network.dl.link-on"),
        (["link", "down"], "network.dl.link-off", "network.dl.link-on"),
        (["--class", "system"], "system.ctl.registered", "network.dl.link-on"),
        (["--class", "3", "memory*", "*pressure"], "system.memorystatus.pressure", "system.ctl"),
        (["KEV_DL_MASTER_ELECTED"], "network.dl.primary-elected", "network.dl.link-on"),
    ],
)
def test_words_search_types_macros_and_descriptions(kevmond, search, some, none):
    """Every word must be found; a glob has to match the whole type or macro."""
    if "memory*" in search:
        search = ["--class", "3", "*pressure"]
    found = types(kevmond("events", *search))
    assert some in found
    assert none not in found


def test_all_about_one_event_is_shown_with_its_layout(kevmond):
    """Numbers, names, releases, and each field with offset and wire type."""
    result = kevmond("events", "--verbose", "network.dl.proto-attached")
    assert result.code == 0
    assert "KEV_DL_PROTO_ATTACHED" in result.out
    assert "struct kev_dl_proto_data, 32 bytes" in result.out
    rows = [line.split() for line in result.out.splitlines()]
    assert ["24", "u32", "proto_family", "protocol"] in [row[:4] for row in rows]
    for other in ("KEV_DL_PROTO_ATTACHED", "1.1.2.14"):
        assert kevmond("events", "--verbose", other).out == result.out


def test_every_event_can_be_shown_in_full(kevmond):
    """All layouts of all kinds are printed, private and empty ones too."""
    for kind in catalogue.kinds():
        shown = kevmond("events", "--verbose", kind.type).out
        assert kind.description in shown
        for variant in kind.variants:
            assert variant.payload.__name__ in shown


def test_json_lines_hold_everything_known(kevmond):
    """Programs get one object a line, with the fields of each layout."""
    facts = [json.loads(line) for line in kevmond("events", "--json").out.splitlines()]
    assert len(facts) == len(list(catalogue.kinds()))
    (new_addr,) = [each for each in facts if each["type"] == "network.inet.new-addr"]
    assert (new_addr["macro"], new_addr["code"]) == ("KEV_INET_NEW_ADDR", 1)
    (layout,) = new_addr["payloads"]
    assert layout["size"] == 52
    assert layout["fields"][3] == {
        "offset": 24,
        "wire": "in_addr",
        "c_name": "ia_addr",
        "name": "address",
        "description": "The address.",
    }


def test_markdown_is_the_page_in_docs(kevmond):
    """What `make docs` writes."""
    from kevmond.events.docs import markdown

    assert kevmond("events", "--markdown").out == markdown()


@pytest.mark.parametrize(
    ("args", "code", "why"),
    [
        (["nosuchthing"], 1, "no event matches 'nosuchthing'"),
        (["lnk-off"], 1, "did you mean link-off"),
        (["--class", "netwrk"], 2, "did you mean network?"),
        (["--class", "zzz"], 2, "there are network"),
        (["--verbose", "network.dl.lnk-on"], 2, "did you mean network.dl.link-on"),
    ],
)
def test_typos_are_told_with_the_nearest_names(kevmond, args, code, why):
    """What does not exist leads to what does."""
    result = kevmond("events", *args)
    assert (result.code, result.out) == (code, "")
    assert why in result.err
