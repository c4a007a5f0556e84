"""The encoder: from fields to bytes."""

import pytest

from kevmond.events import catalogue
from kevmond.events.encoder import encode, message, payload_bytes
from kevmond.events.own import Stop, own_record
from kevmond.events.payloads.ctl import Control
from kevmond.events.payloads.inet import ArpCollision, Ipv4Address, PortInUse
from kevmond.events.payloads.inet6 import Ipv6Address
from kevmond.events.payloads.link import LinkEvent

EN0 = {"if_family": "ethernet", "if_unit": 0, "if_name": "en"}


def test_every_captured_record_is_encoded_again(captures, decode):
    """The fields of each record that XNU's code delivered give its very bytes."""
    for trigger, raw in captures:
        event = decode(raw).model_copy(update={"raw": None})
        assert encode(event) == raw, trigger


def test_a_message_is_made_of_a_type_and_a_payload():
    """What XNU's code posts for a link that comes up, to the byte."""
    made = message(
        "network.dl.link-on",
        LinkEvent(if_family="ethernet", if_unit=0, if_name="feth"),
        kernel_id=36,
    )
    assert made.hex() == (
        "30000000010000000100000002000000240000000d000000020000000000000066657468" + "00" * 12
    )


def test_a_message_without_a_payload():
    """A kind that has none is made without."""
    assert (
        message("firewall.ipfw.flush").hex() == "180000000100000005000000010000000000000003000000"
    )


def test_an_address_event_like_the_kernels(captures):
    """An IPv4 address of XNU's capture, made of its parts."""
    raw = next(raw for trigger, raw in captures if trigger.startswith("SIOCSIFNETMASK"))
    payload = Ipv4Address(
        if_family="ethernet",
        if_unit=0,
        if_name="feth",
        address="192.168.1.5",
        class_network="192.168.1.0",
        class_mask="255.255.255.0",
        subnet="192.168.1.0",
        subnet_mask="255.255.0.0",
        broadcast="192.168.1.255",
        destination="192.168.1.255",
    )
    assert payload_bytes(payload) == raw[24:]


def test_fields_with_a_usual_value_may_be_left_out():
    """An IPv6 address needs no more than what is particular to it."""
    payload = Ipv6Address(**EN0, address="fe80::1", scope=4, prefix_length=64)
    data = payload_bytes(payload)
    assert len(data) == 168
    assert data[24:52].hex() == "1c1e000000000000fe800004000000000000000000000001" + "00000000"


def test_an_unknown_type_is_refused():
    """The error names the type and says where types are listed."""
    with pytest.raises(ValueError, match=r"'network\.dl\.link-up'.*kevmond events"):
        message("network.dl.link-up")


def test_another_kinds_payload_is_refused():
    """A payload of another kind would be read as something else."""
    with pytest.raises(ValueError, match=r"network\.dl\.link-on has no payload PortInUse"):
        message("network.dl.link-on", PortInUse(port=1, pid=2))


def test_a_missing_payload_is_refused():
    """The error names the payload that is needed."""
    with pytest.raises(ValueError, match="needs a payload: LinkEvent"):
        message("network.dl.link-on")


def test_an_older_layout_is_posted_if_it_is_given():
    """The simulator can play an older kernel."""
    kind = catalogue.by_type("network.power.wake-packet")
    assert [variant.payload.SIZE for variant in kind.variants] == [208, 168, 156]


def test_a_word_that_is_none_is_refused():
    """The error names the field and the words there are."""
    with pytest.raises(
        ValueError, match=r"LinkEvent\.if_family: 'etherlink' is no interface family"
    ):
        payload_bytes(LinkEvent(if_family="etherlink", if_unit=0, if_name="en"))


def test_numbers_without_a_name_are_written():
    """unknown-77 is the value 77, 0x4000 the bit."""
    data = payload_bytes(LinkEvent(if_family="unknown-77", if_unit=0, if_name="en"))
    assert data[:4] == b"\x4d\0\0\0"
    payload = Ipv6Address(**EN0, address=None, prefix_length=0, flags=("0x4000", "anycast"))
    assert payload_bytes(payload)[140:144] == b"\x01\x40\0\0"


def test_a_collision_is_as_long_as_its_address():
    """Three bytes of filler follow, as the kernel posts."""
    payload = ArpCollision(**EN0, address="10.0.0.1", hardware_address="02:aa:bb:cc:dd:01")
    assert len(message("network.inet.arp-collision", payload)) == 62


def test_a_malformed_event_is_not_encoded(decode):
    """Only its raw bytes tell what it was."""
    with pytest.raises(ValueError, match="malformed"):
        encode(decode(b"\x01\x02"))


def test_a_record_of_kevmonds_own_is_no_message(context):
    """No kernel posted it, so it has no bytes."""
    record = own_record(context, Stop(reason="SIGTERM"), seq=1, wall_ns=0)
    with pytest.raises(ValueError, match="none that a kernel posted"):
        encode(record.event)
    with pytest.raises(TypeError, match="no wire types"):
        payload_bytes(record.event.payload)


def test_a_controls_unit_is_written_though_null():
    """Null stands for the 0 that the kernel posts."""
    assert payload_bytes(Control(control_id=11)).hex() == "0b00000000000000"
