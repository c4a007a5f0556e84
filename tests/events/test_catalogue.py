"""The catalogue against what XNU's sources say."""

import subprocess
import sys

import pytest

from kevmond.events import catalogue, names
from kevmond.events.codec import codec
from kevmond.events.event import Severity
from kevmond.events.wire import Enum

ENUMS = {
    "ifnet_family": names.IFNET_FAMILY,
    "if_subfamily": names.IF_SUBFAMILY,
    "if_functional_type": names.IF_FUNCTIONAL_TYPE,
    "lqm": names.LQM,
    "npm": names.NPM,
    "low_power_event": names.LOW_POWER_EVENT,
    "netpolicy_network_type": names.NETPOLICY_NETWORK_TYPE,
    "clat46_event": names.CLAT46_EVENT,
    "nd_prefix_origin": names.ND_PREFIX_ORIGIN,
    "dirty_status": names.DIRTY_STATUS,
    "protocol_family": names.PROTOCOL_FAMILY,
}
FLAGS = {
    "in6_iff": names.IN6_IFF,
    "nd6_ra_valid": names.ND6_RA_VALID,
    "ndprf": names.NDPRF,
    "ra_prefix_bits": names.RA_PREFIX_BITS,
    "npif": names.NPIF,
    "npicf": names.NPICF,
}


def codes(table):
    """Class, subclass and code of everything in the table."""
    for kev_class in table["classes"]:
        for subclass in kev_class["subclasses"]:
            for code in subclass["codes"]:
                yield kev_class, subclass, code


def bare(c_name):
    """Name of a member, whether or not net_event_data is nested in the structure."""
    return c_name.removeprefix("link_data.")


def test_every_class_and_subclass_of_the_kernel_is_named(table):
    """Each class and subclass of XNU's sources is in the catalogue, and no other."""
    classes = {(c["value"], c["word"], c["macro"]) for c in table["classes"]}
    assert {(c.number, c.word, c.macro) for c in catalogue.CLASSES.values()} == classes
    subclasses = {
        (c["value"], s["value"], s["word"], s["macro"])
        for c in table["classes"]
        for s in c["subclasses"]
    }
    ours = {(s.kev_class, s.number, s.word, s.macro) for s in catalogue.SUBCLASSES.values()}
    assert ours == subclasses


def test_every_code_of_the_kernel_is_known_by_number_and_name(table):
    """Each code has its word, macro, older macro and type; there are no codes beside them."""
    expected = {
        (1, c["value"], s["value"], x["value"]): (
            f"{c['word']}.{s['word']}.{x['word']}",
            x["macro"],
            x.get("alias", ""),
        )
        for c, s, x in codes(table)
    }
    assert {k.key: (k.type, k.macro, k.alias) for k in catalogue.kinds()} == expected
    for key, (event_type, _, _) in expected.items():
        assert catalogue.lookup(*key) is catalogue.by_type(event_type)
        assert catalogue.type_of(*key) == event_type


def test_every_code_has_the_payload_that_the_kernel_posts(table):
    """A payload's newest layout has the size that XNU's structure has; none is missing."""
    for c, s, x in codes(table):
        kind = catalogue.lookup(1, c["value"], s["value"], x["value"])
        if "payload" in x:
            assert table["payloads"][x["payload"]]["size"] == kind.payload.SIZE, kind.type
        else:
            assert kind.payload is None
            assert kind.private or c["word"] == "firewall", kind.type


def test_every_member_lies_where_the_c_compiler_puts_it(table):
    """Offset and size of every member of every payload are those of the C structure."""
    for c, s, x in codes(table):
        if "payload" not in x or x["payload"] in {"kev_in_collision", "kev_atalk_data"}:
            continue
        model = catalogue.lookup(1, c["value"], s["value"], x["value"]).payload
        ours = {bare(slot.c_name): (slot.offset, slot.wire.size) for slot in codec(model).slots}
        ours |= model.RESERVED
        fields = table["payloads"][x["payload"]]["fields"]
        theirs = {bare(field["name"]): (field["offset"], field["size"]) for field in fields}
        assert ours == theirs, model.__name__


def test_nested_structures_lie_inside_their_payloads(table):
    """A prefix in a router advertisement, and interface kinds in wake events, keep their layout."""
    for inside, prefix, kind in (
        ("nd6_ra_prefix", "prefix.", "network.nd6.router-advertisement"),
        ("npi_if_info", "wake_pkt_if_info.", "network.power.wake-packet"),
        ("npi_if_info", "una_wake_pkt_phy_if_info.", "network.power.unattributed-wake"),
    ):
        model = catalogue.by_type(kind).payload
        ours = {slot.c_name: slot.offset for slot in codec(model).slots}
        ours |= {name: offset for name, (offset, _) in model.RESERVED.items()}
        fields = table["payloads"][inside]["fields"]
        start = ours[prefix + fields[0]["name"]]
        for field in fields:
            assert ours[prefix + field["name"]] == start + field["offset"]


def test_all_payloads_of_the_kernel_are_declared(table):
    """No payload of the table is left out (nested structures are tested with their payloads)."""
    posted = {x["payload"] for _, _, x in codes(table) if "payload" in x}
    assert set(table["payloads"]) - posted == {"nd6_ra_prefix", "npi_if_info"}


@pytest.mark.parametrize("name", ENUMS)
def test_every_value_of_an_enumeration_has_its_c_name(table, name):
    """Enumerations hold the values and C names of XNU's headers."""
    theirs = {int(value): macro for value, macro in table["enums"][name].items()}
    assert ENUMS[name].macros == theirs


def test_no_enumeration_or_flag_set_is_left_out(table):
    """The table has no enumeration or flag set that kevmond does not know."""
    assert set(table["enums"]) - set(ENUMS) == {"rssi_special"}
    assert table["enums"]["rssi_special"] == {str(names.RSSI_UNKNOWN): "IFNET_RSSI_UNKNOWN"}
    assert set(table["flags"]) == set(FLAGS)


@pytest.mark.parametrize("name", FLAGS)
def test_every_flag_has_its_c_name(table, name):
    """Flag sets hold the bits and C names of XNU's headers."""
    assert FLAGS[name].macros == {int(bit, 16): m for bit, m in table["flags"][name].items()}


@pytest.mark.parametrize("name", ENUMS)
def test_enumerations_are_used_where_the_kernel_uses_them(table, name):
    """Each payload member that XNU fills from an enumeration is shown by that enumeration."""
    for c, s, x in codes(table):
        fields = table["payloads"].get(x.get("payload"), {"fields": []})["fields"]
        members = [bare(field["name"]) for field in fields if field.get("enum") == name]
        if members and name not in {"lqm", "npm"}:
            model = catalogue.lookup(1, c["value"], s["value"], x["value"]).payload
            used = {
                bare(slot.c_name): slot.wire.words
                for slot in codec(model).slots
                if isinstance(slot.wire, Enum)
            }
            for member in members:
                assert used[member] is ENUMS[name], member


def test_flags_are_used_where_the_kernel_uses_them(table):
    """Each payload member that XNU fills with flags is shown as that set of flags."""
    for c, s, x in codes(table):
        for field in table["payloads"].get(x.get("payload"), {"fields": []})["fields"]:
            if "flags" in field:
                model = catalogue.lookup(1, c["value"], s["value"], x["value"]).payload
                slot = next(slot for slot in codec(model).slots if slot.c_name == field["name"])
                assert slot.wire.bits is FLAGS[field["flags"]]


def test_a_type_with_unknown_numbers_keeps_the_numbers():
    """Numbers stand where there is no word, so that two unknown events have two types."""
    assert catalogue.type_of(1, 1, 2, 99) == "network.dl.99"
    assert catalogue.type_of(1, 1, 77, 5) == "network.77.5"
    assert catalogue.type_of(1, 9, 1, 5) == "class-9.1.5"
    assert catalogue.type_of(1, 2, 3, 4) == "iokit.3.4"
    assert catalogue.type_of(1001, 1, 2, 3) == "vendor-1001.1.2.3"
    assert catalogue.type_of(0, 0, 0, 0) == "vendor-0.0.0.0"


def test_a_third_partys_codes_are_its_own():
    """Another vendor's class 1, subclass 2 is not Apple's network.dl."""
    assert catalogue.lookup(1001, 1, 2, 13) is None


def test_types_and_macros_are_unique():
    """A type names one kind of event."""
    kinds = list(catalogue.kinds())
    assert len({kind.type for kind in kinds}) == len(kinds)
    assert len({kind.key for kind in kinds}) == len(kinds)
    assert catalogue.by_type("network.dl.no-such") is None


@pytest.mark.parametrize(
    ("event_type", "severity"),
    [
        ("network.dl.link-off", Severity.NOTICE),
        ("network.inet.arp-collision", Severity.WARNING),
        ("network.inet.arp-router-failure", Severity.WARNING),
        ("network.nd6.dad-failure", Severity.WARNING),
        ("network.nd6.nd-failure", Severity.WARNING),
        ("system.memorystatus.pressure", Severity.WARNING),
        ("system.ctl.registered", Severity.INFO),
        ("network.socket.closed", Severity.DEBUG),
    ],
)
def test_severity_says_what_deserves_attention(event_type, severity):
    """Trouble is a warning, a lost link a notice, bookkeeping is for debugging."""
    assert catalogue.by_type(event_type).severity is severity


def test_families_are_read_when_they_are_wanted():
    """Starting the daemon does not read the declarations of events that never come."""
    code = (
        "import sys, kevmond.events.decoder, kevmond.events.own, kevmond.events.encoder;"
        "print(*[n for n in sys.modules if n.startswith('kevmond.events.payloads.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["kevmond.events.payloads.link"]
