"""The filter language: what passes, what the kernel is asked for, what is said of mistakes."""

import re
import shlex
import struct
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kevmond.errors import FilterError
from kevmond.events import catalogue
from kevmond.events.decoder import Decoder
from kevmond.events.event import Context, Severity
from kevmond.events.filters import EventFilter, narrowest, parse_rule
from kevmond.events.own import Loss, Stop, own_record
from kevmond.kernel.base import KernelFilter

CONTEXT = Context(host="mac", boot_id="b", vendor_names={1001: "org.mklinux.nke"})
DECODER = Decoder(CONTEXT)
PAGE = Path(__file__).parents[2] / "docs/filters.md"


def event(vendor, kev_class, subclass, code, interface=b"", *, data=b""):
    """Decode a message with these codes, its payload naming an interface if one is given."""
    if interface:
        name, unit = re.fullmatch(rb"(\D+)(\d+)", interface).groups()
        data = struct.pack("<2I16s", 2, int(unit), name)
    header = struct.pack("<6I", 24 + len(data), vendor, kev_class, subclass, 1, code)
    return DECODER.event(header + data, seq=1, time="t")


LINK_ON = event(1, 1, 2, 13, b"en0")
LINK_OFF = event(1, 1, 2, 12, b"en1")
AWDL = event(1, 1, 2, 26, b"awdl0")
CONTROL = event(1, 3, 2, 1, data=bytes(8))
UNKNOWN = event(1, 1, 2, 99)
THIRD = event(1001, 5, 6, 7)
STRANGER = event(1002, 1, 2, 13)
OWN = own_record(CONTEXT, Loss(lost=1, total=1, source="tail"), seq=1, wall_ns=0).event
ALL = [LINK_ON, LINK_OFF, AWDL, CONTROL, UNKNOWN, THIRD, STRANGER]


def passing(*rules):
    """Return which of the sample events pass."""
    chosen = EventFilter(rules)
    return [one for one in ALL if chosen.matches(one)]


@pytest.mark.parametrize(
    ("rule", "passed"),
    [
        ("class=network", [LINK_ON, LINK_OFF, AWDL, UNKNOWN]),
        ("class=1 vendor=apple", [LINK_ON, LINK_OFF, AWDL, UNKNOWN]),
        ("class=1", [LINK_ON, LINK_OFF, AWDL, UNKNOWN, STRANGER]),
        ("subclass=ctl", [CONTROL]),
        ("code=link-on", [LINK_ON]),
        ("code=link-*", [LINK_ON, LINK_OFF]),
        ("code=KEV_DL_LINK_ON", [LINK_ON]),
        ("code=99 vendor=1", [UNKNOWN]),
        ("type=network.dl.link-o*", [LINK_ON, LINK_OFF]),
        ("type=vendor-1001.5.6.7", [THIRD]),
        ("interface=en0", [LINK_ON]),
        ("interface=en*,awdl*", [LINK_ON, LINK_OFF, AWDL]),
        ("interface=*0 interface!=awdl*", [LINK_ON]),
        ("vendor=org.mklinux.nke", [THIRD]),
        ("vendor=1002", [STRANGER]),
        ("vendor!=apple", [THIRD, STRANGER]),
        ("severity>=notice", [LINK_OFF]),
        ("severity=info vendor=apple code=link-on", [LINK_ON]),
        ("origin=kernel class=system", [CONTROL]),
    ],
)
def test_rule_lets_through_what_it_says(rule, passed):
    """Each key takes names, numbers, macros, globs, lists and negations."""
    assert passing(rule) == passed


def test_no_rule_lets_everything_through():
    """A filter without rules is open."""
    assert passing() == ALL


def test_any_keeping_rule_is_enough():
    """Rules are alternatives; the keys of one rule are conditions."""
    assert passing("code=link-on", "class=system") == [LINK_ON, CONTROL]


def test_dropping_rule_wins_over_keeping_ones():
    """What a dropping rule matches does not pass, whatever keeps it."""
    assert passing("class=network", "drop interface=awdl0") == [LINK_ON, LINK_OFF, UNKNOWN]


def test_dropping_rules_alone_keep_the_rest():
    """A filter that only drops lets everything else through."""
    assert passing("drop vendor=1") == [THIRD, STRANGER]


def test_tables_and_text_mean_the_same():
    """The form of a configuration and that of a command line give equal rules."""
    table = {"class": "network", "code": ["link-*", "!link-off"], "severity": ">=info"}
    text = "class=network code=link-*,!link-off severity>=info"
    assert EventFilter([table]).rules == EventFilter([text]).rules


@pytest.mark.parametrize(
    "rules",
    [["class=network"], ["drop severity>=debug"], ["drop class=network"], ["interface=en0"]],
)
def test_own_records_pass_unless_they_are_named(rules):
    """No rule about kernel events hides a loss by accident."""
    assert EventFilter(rules).matches(OWN)


@pytest.mark.parametrize(
    "rule", ["drop type=kevmond.loss", "drop type=kevmond.*", "drop origin=own"]
)
def test_own_records_can_be_dropped_by_name(rule):
    """Who says kevmond's own records, means them."""
    assert not EventFilter([rule]).matches(OWN)


def test_dropping_one_kind_of_own_record_keeps_the_others():
    """A dropping rule for losses leaves the stop of a run in."""
    stop = own_record(CONTEXT, Stop(reason="x"), seq=1, wall_ns=0).event
    assert EventFilter(["drop type=kevmond.loss"]).matches(stop)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("clas=network", "unknown key 'clas'; the nearest known one is 'class'"),
        ("class=netwrok", "class: unknown name 'netwrok'; the nearest known one is 'network'"),
        ("code=link-onn", "nearest known one is 'link-on'"),
        ("type=network.dl.lnk-on", "nearest known one is 'network.dl.link-on'"),
        ("severity>=loud", "severity: unknown name 'loud'"),
        ("code=xyzzy-*", "code: unknown name 'xyzzy-*'"),
        ("class=-1", "class: no number from 0 to 4294967295"),
        ("class=4294967296", "class: no number from 0 to 4294967295"),
        ("class>=1", "class: only severity is compared with >="),
        ("network", "'network' is not KEY=VALUE; keys: vendor, class"),
        ("class=", "class: a value is empty"),
        ("class='network", "No closing quotation"),
    ],
)
def test_mistake_names_rule_and_key_and_what_was_meant(rule, message):
    """A rule that cannot be understood is told with its text, its key and the nearest name."""
    with pytest.raises(FilterError) as caught:
        parse_rule(rule)
    assert repr(rule) in str(caught.value)
    assert message in str(caught.value)


def test_rule_that_can_never_match_is_a_mistake():
    """Names that do not go together would filter everything out, silently."""
    with pytest.raises(FilterError):
        parse_rule("class=system subclass=dl")


def test_rule_is_shown_as_it_can_be_written():
    """The text of a rule reads back as the same rule."""
    rule = parse_rule("drop class=network code='link-*',13 interface!=en0")
    assert parse_rule(str(rule)) == rule


@pytest.mark.parametrize(
    ("rules", "asked"),
    [
        ([], (0, 0, 0)),
        (["class=network subclass=dl code=link-*"], (1, 1, 2)),
        (["code=link-on"], (1, 1, 2)),
        (["type=network.dl.link-on"], (1, 1, 2)),
        (["type=network.*"], (1, 1, 0)),
        (["subclass=dl", "subclass=inet"], (1, 1, 0)),
        (["class=network", "class=system"], (1, 0, 0)),
        (["vendor=1001"], (1001, 0, 0)),
        (["vendor=1001 class=5 subclass=6"], (1001, 5, 6)),
        (["vendor=apple", "vendor=1001"], (0, 0, 0)),
        (["class=1"], (0, 0, 0)),
        (["interface=en0"], (0, 0, 0)),
        (["severity>=warning"], (0, 0, 0)),
        (["vendor=com.example.unknown"], (0, 0, 0)),
        (["drop class=network"], (0, 0, 0)),
        (["class=network", "drop subclass=dl"], (1, 1, 0)),
    ],
)
def test_kernel_is_asked_for_the_narrowest_that_covers(rules, asked):
    """Wildcards nest: "any vendor, one class" becomes everything, alternatives their parent."""
    assert EventFilter(rules).kernel_filter() == KernelFilter(*asked)


def test_vendor_is_asked_for_by_name_once_its_code_is_known():
    """A third party's string narrows the kernel's filter when its code was looked up."""
    chosen = EventFilter(["vendor=org.mklinux.nke"])
    assert chosen.kernel_filter({"org.mklinux.nke": 1001}) == KernelFilter(1001)


def test_filters_of_all_consumers_are_covered_together():
    """The kernel is asked for what any consumer wants; one open filter opens it."""
    link, control = EventFilter(["subclass=dl"]), EventFilter(["subclass=ctl"])
    assert narrowest([link, control]) == KernelFilter(1)
    assert narrowest([link, EventFilter()]) == KernelFilter()


_NAMES = {
    "vendor": ["apple", "1", "1001", "org.mklinux.nke"],
    "class": [*sorted({kind.class_name for kind in catalogue.kinds()}), "1", "3", "77"],
    "subclass": [*sorted({kind.subclass_name for kind in catalogue.kinds()}), "2", "*"],
    "code": ["link-*", "new-*", "registered", "13", "!link-on", "*"],
    "type": [
        "network.*",
        "network.dl.*",
        "*.registered",
        "system.ctl.*",
        "vendor-*",
        "class-9.1.2",
    ],
    "interface": ["en*", "en0", "!en1"],
    "severity": [*Severity, ">=notice", "<warning"],
    "origin": ["kernel", "own"],
}
_VALUES = {
    key: st.lists(st.sampled_from(names), min_size=1, max_size=3) for key, names in _NAMES.items()
}
_RULES = st.lists(
    st.lists(st.sampled_from(sorted(_NAMES)), unique=True, max_size=4)
    .flatmap(lambda keys: st.fixed_dictionaries({key: _VALUES[key] for key in keys}))
    .flatmap(lambda rule: st.booleans().map(lambda drop: {**rule, "drop": drop})),
    max_size=3,
)
_KINDS = st.sampled_from([(1, k.kev_class, k.subclass, k.code) for k in catalogue.kinds()])
_ODD = st.tuples(
    st.sampled_from([1, 1001, 1002]),
    st.integers(0, 9),
    st.integers(0, 15),
    st.integers(0, 200),
)


@given(_RULES, st.lists(_KINDS | _ODD, min_size=1, max_size=20))
def test_kernel_delivers_whatever_a_filter_wants(rules, codes):
    """No rule can match an event that the kernel filter made of it keeps away."""
    chosen = []
    for rule in rules:
        try:
            chosen += EventFilter([rule]).rules
        except FilterError:
            continue  # a rule that can never match
    made = EventFilter(chosen)
    vendors = {"org.mklinux.nke": 1001}
    for asked in (made.kernel_filter(), made.kernel_filter(vendors)):
        for one in codes:
            if made.matches(event(*one)):
                assert asked.matches(*one[:3])


def test_decisions_are_remembered_within_a_bound():
    """Events without end of new kinds do not fill the memory."""
    chosen = EventFilter(["class=network"])
    for code in range(10_000):
        chosen.matches(event(1, 1, 2, code))
    assert len(chosen._decided) <= 4096


def examples(language):
    """Take the examples of one language from the page about filters."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.parametrize("text", examples("toml"))
def test_examples_for_the_configuration_are_right(text):
    """Each example of the page is a filter."""
    assert EventFilter(tomllib.loads(text)["filter"]).rules


@pytest.mark.parametrize("line", [line for text in examples("sh") for line in text.splitlines()])
def test_examples_for_the_command_line_are_right(line):
    """Each rule in a command of the page can be read."""
    words = shlex.split(line)
    rules = [words[at + 1] for at, word in enumerate(words) if word == "--filter"]
    assert rules
    assert EventFilter(rules).rules
