"""The filter language: what passes, what the kernel is asked for, what is said of mistakes."""

import re
import shlex
import shutil
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kevmond.cli import main
from kevmond.config.loader import load
from kevmond.errors import FilterError
from kevmond.events import catalogue, control
from kevmond.events.decoder import Decoder
from kevmond.events.event import Context, Severity
from kevmond.events.filters import EventFilter, narrowest, parse_rule
from kevmond.events.own import Loss, Stop, own_record
from kevmond.kernel.base import KernelFilter

CONTEXT = Context(host="mac", boot_id="b", vendor_names={1001: "org.mklinux.nke"})
DECODER = Decoder(CONTEXT)
PAGE = Path(__file__).parents[2] / "docs/filters.md"
CAPTURE = Path(__file__).parents[1] / "captures/xnu-7195-events.jsonl"


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
        ("code=LINK-ON vendor=Apple", [LINK_ON]),
        ("code=Link-* severity>=INFO", [LINK_ON, LINK_OFF]),
        ("code=0x63 class=network", [UNKNOWN]),
        ("code!=?* vendor=apple", [UNKNOWN]),
        ("interface=?*", [LINK_ON, LINK_OFF, AWDL]),
        ("interface!=?*", [CONTROL, UNKNOWN, THIRD, STRANGER]),
        ("interface=*", ALL),
        ("type=vendor-1001.5.6.7", [THIRD]),
        ("type=vendor-*.13", [STRANGER]),
        ("type=network.dl.99", [UNKNOWN]),
        ("type=network.dl.9*", [UNKNOWN]),
        ("type=network.dl.13", [LINK_ON]),
        ("type=vendor-1.1.2.13", [LINK_ON]),
        ("interface=en0", [LINK_ON]),
        ("interface=en*,awdl*", [LINK_ON, LINK_OFF, AWDL]),
        ("interface=*0 interface!=awdl*", [LINK_ON]),
        ("vendor=org.mklinux.nke", [THIRD]),
        ("vendor=1002", [STRANGER]),
        ("vendor!=apple", [THIRD, STRANGER]),
        ("severity>=notice", [LINK_OFF]),
        ("severity>=notice severity<error", [LINK_OFF]),
        ("severity>=error severity=info code=link-*", [LINK_ON]),
        ("severity=info vendor=apple code=link-on", [LINK_ON]),
        ("origin=kernel class=system", [CONTROL]),
    ],
)
def test_rule_lets_through_what_it_says(rule, passed):
    """Each key takes names, numbers, macros, globs, lists and negations."""
    assert passing(rule) == passed


def test_severity_is_compared_in_syslogs_order():
    """A threshold takes the levels on its side, the named one with `=` only; `!` takes away."""
    levels = list(Severity)
    notices = [one for one in ALL if one.severity is Severity.NOTICE]
    for level in levels:
        at, mine = levels.index(level), levels.index(Severity.NOTICE)
        for sign, holds in (
            (">=", mine >= at),
            (">", mine > at),
            ("<", mine < at),
            ("<=", mine <= at),
        ):
            if (sign, at) in {("<", 0), (">", len(levels) - 1)}:
                continue  # nothing is below the least or above the most
            chosen = EventFilter([f"severity{sign}{level}"])
            assert [chosen.matches(one) for one in notices] == [holds] * len(notices)
    assert passing("severity>=debug severity!=info") == notices


def test_message_that_has_no_type_can_be_asked_for():
    """What is too short for a header is `malformed`, and no narrow kernel filter is sure of it."""
    chosen = EventFilter(["type=malformed"])
    assert chosen.matches(DECODER.event(b"\x01", seq=1, time="t"))
    assert passing("type=malformed") == []
    assert chosen.kernel_filter() == EventFilter(["type=mal*"]).kernel_filter() == KernelFilter()


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
    [
        ["class=network"],
        ["interface=en0"],
        ["origin=kernel"],
        ["drop"],
        ["drop severity>=debug"],
        ["drop class=network"],
        ["drop type=*"],
        ["drop origin=kernel"],
    ],
)
def test_own_records_pass_unless_they_are_named(rules):
    """No rule about kernel events hides a loss by accident."""
    assert EventFilter(rules).matches(OWN)


@pytest.mark.parametrize(
    "rule",
    [
        "drop type=kevmond.loss",
        "drop type=kevmond.*",
        "drop type=kevmond*",
        "drop type=k*",
        "drop type=network.*,kevmond.loss",
        "drop origin=own",
        "drop origin=own,kernel",
        "drop origin!=kernel",
        "drop origin=own severity>=warning",
    ],
)
def test_own_records_can_be_dropped_by_name(rule):
    """Who says kevmond's own records, means them."""
    assert not EventFilter([rule]).matches(OWN)


def test_dropping_one_kind_of_own_record_keeps_the_others():
    """A dropping rule for losses leaves the stop of a run in."""
    stop = own_record(CONTEXT, Stop(reason="x"), seq=1, wall_ns=0).event
    assert EventFilter(["drop type=kevmond.loss"]).matches(stop)


@pytest.mark.parametrize(
    ("rules", "passes"),
    [
        ([], True),
        (["class=network"], False),
        (["type=control.*"], True),
        (["type=control.message"], True),
        (["type=control.goodbye"], False),
        (["origin=control"], True),
        (["origin=own"], False),
        (["drop origin=control"], False),
        (["drop type=control.message"], False),
        (["severity>=notice"], False),
    ],
)
def test_control_records_are_filtered_as_events_are(rules, passes):
    """What comes over a control channel passes a filter only if that wants it."""
    message = control.ControlMessage(channel="foo", control="org.x", unit=1, size=4)
    record = own_record(CONTEXT, message, seq=1, wall_ns=0)
    assert EventFilter(rules).matches(record.event) is passes


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("clas=network", "unknown key 'clas'; the nearest known one is 'class'"),
        ("class=netwrok", "class: unknown name 'netwrok'; the nearest known one is 'network'"),
        ("code=link-onn", "nearest known one is 'link-on'"),
        ("type=network.dl.lnk-on", "nearest known one is 'network.dl.link-on'"),
        ("severity>=loud", "severity: unknown name 'loud'"),
        ("severity>error severity<info", "severity: no event has all of >error, <info"),
        ("severity=info,!info", "severity: no event has all of info, !info"),
        ("code=xyzzy-*", "code: unknown name 'xyzzy-*'"),
        ("class=-1", "class: no number from 0 to 4294967295"),
        ("class=4294967296", "class: no number from 0 to 4294967295"),
        ("class>=1", "class: only severity is compared with >="),
        ("network", "'network' is not KEY=VALUE; keys: vendor, class"),
        ("class=", "class: a value is empty"),
        ("interface=en0,", "interface: a value is empty"),
        ("interface!=*", "interface: '!*' refuses every event"),
        ("interface=5 code=0x", "code: no number from 0 to 4294967295: '0x'"),
        ("vendor=acme", "vendor: unknown name 'acme'; write 'apple', a code"),
        ("origin=kernal", "origin: unknown name 'kernal'; the nearest known one is 'kernel'"),
        ("severity<debug", "severity: no event has <debug"),
        ("severity>critical", "severity: no event has >critical"),
        ("severity!=>=debug", "severity: no event has !>=debug"),
        ("severity>=*", "severity: unknown name '*'"),
        ("severity=warn*", "severity: unknown name 'warn*'; the nearest known one is 'warning'"),
        ("type=netwrok.dl.99", "type: unknown name 'netwrok.dl.99'"),
        ("type=network.foo.99", "type: unknown name 'network.foo.99'"),
        ("type=network.dl.4294967296", "type: unknown name"),
        ("type=*.lnk-onn", "type: unknown name '*.lnk-onn'"),
        ("type=*lnk-onn*", "type: unknown name '*lnk-onn*'"),
        ("drop!=true", "drop: 'drop' stands alone"),
        ("drop=perhaps", "drop: "),
        ("class='network", "No closing quotation"),
    ],
)
def test_mistake_names_rule_and_key_and_what_was_meant(rule, message):
    """A rule that cannot be understood is told with its text, its key and the nearest name."""
    with pytest.raises(FilterError) as caught:
        parse_rule(rule)
    assert repr(rule) in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"klass": "network"}, "rule 2 (klass=network): unknown key 'klass'; the nearest"),
        ({"interface": 5}, "rule 2 (interface=5): interface: takes names, not the number 5"),
        ({"code": True}, "rule 2 (code=True): code: takes names and numbers, not True"),
        ({"code": [1.5]}, "code: takes names and numbers, not 1.5"),
        ({"code": []}, "rule 2 (code=[]): code: "),
    ],
)
def test_mistake_in_a_table_names_the_rule_by_its_place(table, message):
    """In a list of tables the number of the rule, its keys and values and the mistake are told."""
    with pytest.raises(FilterError, match=re.escape(message)):
        EventFilter([{"class": "network"}, table])


@pytest.mark.parametrize("key", ["vendor", "class", "subclass", "code"])
@pytest.mark.parametrize("number", [0, 1, 77, 4_294_967_295])
def test_any_number_is_accepted(key, number):
    """Kernels post codes that no table knows: every u32 can be asked for, plain or negated."""
    given = [parse_rule(f"{key}={number}"), parse_rule(f"{key}={number:#x}")]
    given += EventFilter([{key: number}]).rules
    assert [rule.terms[key][0].number for rule in given] == [number] * 3
    assert parse_rule(f"{key}!={number}").terms[key][0].negated


@pytest.mark.parametrize(
    "pattern",
    [
        "network.99.*",
        "network.*.99",
        "*.99",
        "appleshare.*",
        "class-9.*",
        "vendor-*.1.*",
        "vendor-?*",
    ],
)
def test_glob_for_numbered_types_is_accepted(pattern):
    """A glob on types need not match a name where it may match a number."""
    assert EventFilter([f"type={pattern}"]).rules


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("class=system subclass=dl", "subclass: no event has all of class=system subclass=dl"),
        ("code=link-on subclass=inet", "that code is in network.dl"),
        ("vendor=1001 code=link-on", "no event has all of"),
        ("class=system type=network.*", "no event has all of"),
    ],
)
def test_rule_that_can_never_match_is_a_mistake(rule, message):
    """Names that do not go together would filter everything out, silently."""
    with pytest.raises(FilterError, match=re.escape(message)):
        parse_rule(rule)


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
        (["type=network.dl*"], (1, 1, 2)),
        (["type=network.dl?link-on"], (1, 1, 2)),
        (["type=network.inet*"], (1, 1, 0)),
        (["type=net*"], (1, 1, 0)),
        (["type=network.99.*"], (1, 1, 99)),
        (["type=network.9*"], (1, 1, 0)),
        (["type=class-9.1.*"], (1, 9, 1)),
        (["type=*.link-on"], (0, 0, 0)),
        (["type=vendor-1001.5.6.7"], (1001, 5, 6)),
        (["type=vendor-1001.5.6*"], (1001, 5, 0)),
        (["type=vendor-1001.*"], (1001, 0, 0)),
        (["type=vendor-10*"], (0, 0, 0)),
        (["type=kevmond.*", "subclass=dl"], (1, 1, 2)),
        (["type=kevmond.*,network.dl.*"], (1, 1, 2)),
        (["type=kevmond.loss"], (0, 0, 0)),
        (["origin=own", "subclass=dl"], (1, 1, 2)),
        (["origin!=kernel", "subclass=dl"], (1, 1, 2)),
        (["class=network subclass=2"], (1, 1, 2)),
        (["vendor=1 class=1 subclass=99 code=5"], (1, 1, 99)),
        (["vendor=1 subclass=2"], (1, 0, 0)),
        (["code=registered"], (1, 0, 0)),
        (["code=registered class=system"], (1, 3, 2)),
        (["code=link-on,new-addr"], (1, 1, 0)),
        (["class=network,system subclass=ctl"], (1, 3, 2)),
        (["vendor=apple class!=network"], (1, 0, 0)),
        (["subclass=dl", "subclass=inet"], (1, 1, 0)),
        (["subclass=dl", "code=link-on", "type=network.dl.*"], (1, 1, 2)),
        (["subclass=dl", "subclass=ctl"], (1, 0, 0)),
        (["class=network", "class=system"], (1, 0, 0)),
        (["vendor=1001"], (1001, 0, 0)),
        (["vendor=1001 class=5 subclass=6"], (1001, 5, 6)),
        (["vendor=1001 subclass=6"], (1001, 0, 0)),
        (["vendor=1001 class=5", "vendor=1001 class=5 subclass=6"], (1001, 5, 0)),
        (["vendor=0 class=5"], (0, 0, 0)),
        (["vendor=app*"], (0, 0, 0)),
        (["vendor=app* class=network"], (1, 1, 0)),
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
    assert narrowest([link, EventFilter(["origin=own"])]) == KernelFilter(1, 1, 2)
    assert narrowest([EventFilter(["origin=own"])]) == narrowest([]) == KernelFilter()


_TYPES = [
    *(kind.type for kind in catalogue.kinds()),
    *("network.dl.99", "network.77.1", "class-9.1.2", "vendor-1001.5.6.7", "kevmond.loss"),
]


@st.composite
def globs(draw, names):
    """Make a glob of a name: a part of it, anywhere, becomes a wildcard."""
    name = draw(st.sampled_from(names))
    first, last = sorted(draw(st.tuples(*[st.integers(0, len(name))] * 2)))
    return name[:first] + draw(st.sampled_from(["*", "?", "", "[a-z]"])) + name[last:]


def values(key, names):
    """Names, globs of them and numbers, plain and negated."""
    plain = st.sampled_from(names) | globs(names)
    if key in {"vendor", "class", "subclass", "code"}:
        plain |= st.integers(0, 15).map(str) | st.sampled_from(["1001", "1002"])
    if key == "severity":
        plain = st.tuples(st.sampled_from(["", ">=", "<=", ">", "<"]), plain).map("".join)
    return st.lists(
        st.tuples(st.sampled_from(["", "", "!"]), plain).map("".join), min_size=1, max_size=3
    )


_NAMES = {
    "vendor": ["apple", "org.mklinux.nke"],
    "class": [entry.word for entry in catalogue.CLASSES.values()],
    "subclass": [entry.word for entry in catalogue.SUBCLASSES.values()],
    "code": sorted({kind.code_name for kind in catalogue.kinds()}),
    "type": _TYPES,
    "interface": ["en0", "awdl0"],
    "severity": [*Severity],
    "origin": ["kernel", "control", "own"],
}
_RULE = st.fixed_dictionaries(
    {}, optional={key: values(key, names) for key, names in _NAMES.items()}
).flatmap(lambda rule: st.sampled_from([{}, {}, {"drop": True}]).map(rule.__or__))
_KINDS = [(1, kind.kev_class, kind.subclass, kind.code) for kind in catalogue.kinds()]
_ODD = [
    *((1, 1, 2, 99), (1, 1, 77, 1), (1, 9, 1, 2), (1, 0, 0, 0), (1, 4, 1, 5), (1, 3, 2, 0)),
    *((1001, 5, 6, 7), (1001, 1, 2, 13), (1002, 1, 2, 13), (1002, 0, 0, 0)),
]
_EVENTS = [event(*codes) for codes in _KINDS + _ODD] + [AWDL, LINK_ON]
"""One of each known kind, and strangers to every table."""


def readable(rules):
    """Keep the rules that the language takes: names made at random may mean nothing."""
    for rule in rules:
        try:
            yield from EventFilter([rule]).rules
        except FilterError:
            continue


@given(st.lists(_RULE, max_size=3))
def test_kernel_delivers_whatever_a_filter_wants(rules):
    """No rule can match an event that the kernel filter made of it keeps away."""
    chosen = EventFilter(readable(rules))
    wanted = [one for one in _EVENTS if chosen.matches(one)]
    for asked in (chosen.kernel_filter(), chosen.kernel_filter({"org.mklinux.nke": 1001})):
        assert all(asked.matches(one.vendor, one.class_, one.subclass) for one in wanted)


@given(st.lists(_RULE, max_size=3), st.lists(st.sampled_from(_EVENTS), max_size=9))
def test_remembered_decision_is_the_decision(rules, events):
    """What a filter says of an event never depends on the events that it saw before."""
    rules = tuple(readable(rules))
    chosen = EventFilter(rules)
    assert [chosen.matches(one) for one in events] == [
        EventFilter(rules).matches(one) for one in events
    ]


@given(_RULE)
def test_any_rule_is_shown_as_it_can_be_written(rule):
    """The text of a rule that gives a key reads back as the same rule."""
    for made in readable([rule]):
        if made.terms:
            assert parse_rule(str(made)) == made


@given(st.sampled_from(_TYPES))
def test_type_alone_asks_for_its_own_subclass(event_type):
    """A whole type is covered by exactly its vendor, class and subclass."""
    chosen = EventFilter([{"type": event_type}])
    for one in _EVENTS:
        if chosen.matches(one):
            assert chosen.kernel_filter() == KernelFilter(one.vendor, one.class_, one.subclass)


def test_decisions_are_remembered_within_a_bound():
    """Events without end of new kinds do not fill the memory."""
    chosen = EventFilter(["class=network"])
    for code in range(10_000):
        chosen.matches(event(1, 1, 2, code))
    assert len(chosen._decided) <= 4096


def examples(language):
    """Take the examples of one language from the page about filters."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_page_has_examples_of_both_forms():
    """What follows proves something only while the page's examples are found."""
    assert len(examples("toml")) >= 3
    assert len("".join(examples("sh")).splitlines()) >= 3


@pytest.mark.parametrize("text", examples("toml"))
def test_examples_for_the_configuration_are_right(text, tmp_path):
    """The daemon's configuration takes each example of the page."""
    path = tmp_path / "kevmond.toml"
    path.write_text(text)
    loaded = load(path)
    assert all(sink.filter for sink in loaded.settings.sinks.values())


@pytest.mark.parametrize("line", "".join(examples("sh")).splitlines())
def test_examples_for_the_command_line_are_right(line, tmp_path, monkeypatch, capsys):
    """Each command of the page runs on what XNU delivered, and shows a part of it."""
    shutil.copy(CAPTURE, tmp_path / "recording.jsonl")
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line)
    assert words[:2] == ["kevmond", "decode"]
    with pytest.raises(SystemExit) as ended:
        main([*words[1:], "--format", "json"])
    assert ended.value.code in {0, None}
    assert 0 < len(capsys.readouterr().out.splitlines()) < len(CAPTURE.read_text().splitlines())
