"""What the tests of events share: captures, a decoder for a release, building messages."""

import json
from pathlib import Path

import pytest

from kevmond.events.decoder import Decoder
from kevmond.events.event import Context
from kevmond.kernel.abi import HEADER

ROOT = Path(__file__).parents[2]
CAPTURE = ROOT / "tests/captures/xnu-7195-events.jsonl"
BOOT = "6f9b4d1e-0c52-4f0e-9a53-3d1f4f8f2c11"
TIME = "2026-11-24T08:09:10.123456Z"


@pytest.fixture(scope="session")
def captures():
    """Trigger and bytes of every record that XNU's code delivered."""
    lines = CAPTURE.read_text().splitlines()
    return [(entry["trigger"], bytes.fromhex(entry["hex"])) for entry in map(json.loads, lines)]


@pytest.fixture(scope="session")
def table():
    """Tell what XNU's sources say, read independently of kevmond's declarations."""
    return json.loads((Path(__file__).parent / "data/xnu-events.json").read_text())


@pytest.fixture
def context():
    """Give the context of the golden file."""
    return Context(
        host="mac.local",
        boot_id=BOOT,
        os_release="20.6.0",
        os_build="20G1427",
        vendor_names={1001: "org.mklinux.nke"},
    )


@pytest.fixture
def decode():
    """Decode one message as read, on a Darwin release ("" is an unknown one)."""

    def decoded(raw, release="20.6.0", **names):
        context = Context(host="mac.local", boot_id=BOOT, os_release=release, **names)
        return Decoder(context).event(raw, seq=1, time=TIME)

    return decoded


@pytest.fixture(scope="session")
def make():
    """Build a message of Apple's: class, subclass, code, payload bytes."""

    def made(kev_class, subclass, code, data=b"", *, total=None, vendor=1, kernel_id=7):
        size = 24 + len(data) if total is None else total
        return HEADER.pack(size, vendor, kev_class, subclass, kernel_id, code) + data

    return made


def link(name=b"en", unit=0, family=2):
    """Bytes of struct net_event_data."""
    return family.to_bytes(4, "little") + unit.to_bytes(4, "little") + name.ljust(16, b"\0")


@pytest.fixture(scope="session", name="link")
def link_fixture():
    """Bytes of struct net_event_data: name, unit, family."""
    return link
