"""Stories written in TOML: what can be said, and how mistakes are told."""

import random
from pathlib import Path

import pytest

from kevmond import stories
from kevmond.errors import StoryError
from kevmond.events import catalogue
from kevmond.events.decoder import Decoder
from kevmond.events.event import Context, Decode
from kevmond.kernel.base import KernelFilter
from kevmond.kernel.simulated.model import SimulatedKernel
from kevmond.stories import toml


def read(tmp_path, text):
    """Read the steps of a story written so."""
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return list(stories.load(path).steps(random.Random(1)))


async def played(tmp_path, text):
    """Events that a story written so makes a kernel post."""
    path = tmp_path / "mine.toml"
    path.write_text(text)
    kernel = SimulatedKernel()
    socket = kernel.open_event_socket(100_000)
    socket.set_filter(KernelFilter())
    await stories.play(stories.load(path), kernel, speed=float("inf"))
    decoder = Decoder(Context("h", "b", "20.6.0"))
    buffer = memoryview(bytearray(1024))
    events = []
    while socket.last_event_id() > len(events):
        raw = bytes(buffer[: socket.recv_into(buffer)])
        events.append(decoder.event(raw, seq=0, time=""))
    socket.close()
    return events


async def test_a_step_posts_an_event_of_its_type(tmp_path):
    """`interface` fills in the fields that name one."""
    (event,) = await played(tmp_path, '[[step]]\ntype = "network.dl.link-off"\ninterface = "en12"')
    assert (event.type, event.interface, event.decode) == (
        "network.dl.link-off",
        "en12",
        Decode.FULL,
    )
    assert event.payload.if_family == "ethernet"


async def test_the_fields_of_a_payload_are_keys_of_the_step(tmp_path):
    """What is not given has the payload's defaults."""
    events = await played(
        tmp_path,
        """
        [[step]]
        type = "network.dl.proto-attached"
        interface = "utun4"
        protocol = "inet6"
        remaining = 2
        [[step]]
        type = "network.inet6.new-user-addr"
        interface = "en0"
        address = "fe80::1"
        scope = 4
        prefix_length = 64
        flags = ["autoconf", "secured"]
        [[step]]
        type = "network.necp.policies-changed"
        changed_count = 3
        [[step]]
        type = "wifi.event.roamed"
        """,
    )
    assert [event.decode for event in events] == [Decode.FULL] * 4
    assert (events[0].payload.if_family, events[0].payload.protocol) == ("utun", "inet6")
    assert (events[1].payload.scope, events[1].payload.flags) == (4, ("autoconf", "secured"))
    assert events[2].payload.changed_count == 3


async def test_the_fields_of_an_ipv4_address_are_derived(tmp_path):
    """An address with its mask length is enough, and what is given goes before."""
    head = '[[step]]\ntype = "network.inet.new-addr"\ninterface = "en0"\n'
    (event,) = await played(tmp_path, head + 'address = "172.20.5.9/20"')
    assert event.payload.model_dump(
        include={"subnet", "subnet_mask", "class_mask", "broadcast"}
    ) == {
        "class_mask": "255.255.0.0",
        "subnet": "172.20.0.0",
        "subnet_mask": "255.255.240.0",
        "broadcast": "172.20.15.255",
    }
    (event,) = await played(tmp_path, head + 'address = "10.0.0.1/8"\nbroadcast = "10.1.1.1"')
    assert (event.payload.address, event.payload.broadcast) == ("10.0.0.1", "10.1.1.1")


async def test_extra_bytes_stand_behind_the_payload(tmp_path):
    """A longer payload, as a newer kernel may post one."""
    (event,) = await played(
        tmp_path, '[[step]]\ntype = "network.dl.link-on"\ninterface = "en0"\nextra = "0a0b"'
    )
    assert (event.decode, event.extra) == (Decode.EXTRA, "0a0b")


async def test_third_parties_and_bare_bytes_can_be_told(tmp_path):
    """`vendor` posts as a kernel extension does, `hex` delivers bytes as they are."""
    events = await played(
        tmp_path,
        """
        [[step]]
        vendor = "com.example"
        class = 1
        subclass = 2
        code = 3
        data = "0a 0b"
        [[step]]
        vendor = "com.example"
        text = "hello"
        [[step]]
        hex = "1800"
        """,
    )
    assert [event.type for event in events] == [
        "vendor-1001.1.2.3",
        "vendor-1001.0.0.0",
        "malformed",
    ]
    assert [event.extra for event in events[:2]] == ["0a0b", b"hello".hex()]


def test_pauses_notes_and_repetitions(tmp_path):
    """A repeated step comes `every` so many seconds, and is told of once."""
    steps = read(
        tmp_path,
        '[[step]]\nafter = 2\nnote = "now"\nhex = "00"\nrepeat = 3\nevery = 0.25\n'
        '[[step]]\nhex = "01"',
    )
    assert [(step.after, step.note) for step in steps] == [
        (2.0, "now"),
        (0.25, ""),
        (0.25, ""),
        (0.0, ""),
    ]


def test_a_built_in_story_is_a_step(tmp_path):
    """`after` delays its beginning only."""
    steps = read(tmp_path, '[[step]]\nstory = "control"\nafter = 5')
    alone = list(stories.load("control").steps(random.Random(1)))
    assert [step.after for step in steps] == [alone[0].after + 5, *(s.after for s in alone[1:])]


def test_a_story_has_a_name_and_a_summary(tmp_path):
    """Both may be left out."""
    path = tmp_path / "mine.toml"
    path.write_text('[[step]]\nhex = "00"')
    assert stories.load(path).name == "mine"
    path.write_text('name = "n"\nsummary = "s"\n[[step]]\nhex = "00"')
    assert (stories.load(path).name, stories.load(path).summary) == ("n", "s")


LINK = '[[step]]\ntype = "network.dl.link-on"\n'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "step: there is none"),
        ("step = 5", "step: must be a list of tables, not 5"),
        ("step = [5]", r"step 1: write it as a table, \[\[step\]\]"),
        ("[[stepp]]\n", "stepp: unknown key; did you mean 'step'?"),
        ("name = 5", "name: must be text, not 5"),
        ("not toml", "Expected '='"),
        ("[[step]]\n", "step 1: type: a step has exactly one of type, vendor, hex, story"),
        ('[[step]]\nhex = "00"\nstory = "vpn"', "hex and story: a step has exactly one of"),
        ('[[step]]\ntype = "network.dl.link-onn"', "did you mean 'network.dl.link-on'?"),
        (LINK, "step 1 (type 'network.dl.link-on'): if_family: Field required"),
        (LINK + 'interface = "eth"', "interface: 'eth' is no BSD name such as en0"),
        (LINK + 'interface = "en0"\naftr = 1', "aftr: unknown key; did you mean 'after'?"),
        (LINK + 'interface = "en0"\nafter = "1s"', "after: must be a number of seconds"),
        (LINK + 'interface = "en0"\nafter = -1', "after: must be a number of seconds"),
        (LINK + 'interface = "en0"\nrepeat = 0', "repeat: must be 1 or more"),
        (LINK + 'interface = "en0"\nrepeat = true', "repeat: must be a whole number"),
        (LINK + 'interface = "en0"\nextra = "x"', "extra: not hex: 'x'"),
        (LINK + 'interface = "en0"\nif_family = "ether"', "if_family: 'ether' is no"),
        (LINK + 'interface = "en0"\nif_unit = "x"', "if_unit: Input should be a valid integer"),
        (
            '[[step]]\ntype = "network.necp.policies-changed"\nchanged_count = -1',
            "changed_count: ",
        ),
        (
            (
                '[[step]]\ntype = "network.necp.policies-changed"\n'
                'changed_count = 1\ninterface = "en0"'
            ),
            "interface: network.necp.policies-changed names no interface that way",
        ),
        (
            '[[step]]\ntype = "network.inet.new-addr"\ninterface = "en0"\naddress = "1.2.3"',
            "address: ",
        ),
        ('[[step]]\nhex = "0x"', "hex: not hex: '0x'"),
        ('[[step]]\nhex = ""', "hex: a message cannot be empty"),
        ('[[step]]\nvendor = "a"\ncode = -1', "code: -1 is not a number of 32 bits"),
        ('[[step]]\nvendor = "a"\ntext = "b"\ndata = "00"', "text: give data (hex) or text"),
        ('[[step]]\nvendor = "a"\ncod = 1', "cod: unknown key; did you mean 'code'?"),
        ('[[step]]\nstory = "vnp"', "story: no built-in story 'vnp'; did you mean 'vpn'?"),
        ('[[step]]\nstory = "vpn"\nrepeat = 2', "repeat: unknown key"),
    ],
)
def test_a_mistake_names_file_step_and_key(tmp_path, text, why):
    """Every mistake is found when the file is read, and told where it is."""
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(StoryError) as error:
        stories.load(path)
    assert str(error.value).startswith(f"{path}: ")
    assert why.replace("\\", "") in str(error.value)


def test_no_field_of_a_payload_is_hidden_by_a_key_of_a_step():
    """Each field of each payload can be written."""
    reserved = {*toml._TIMING, *toml._KINDS, "interface", "extra"}
    for kind in catalogue.kinds():
        if kind.payload is not None:
            assert not reserved & set(kind.payload.model_fields), kind.type


async def test_the_story_in_the_docs_can_be_told(tmp_path):
    """What docs/simulate.md shows is right."""
    page = (Path(__file__).parents[2] / "docs" / "simulate.md").read_text()
    events = await played(tmp_path, page.split("```toml\n")[1].split("```")[0])
    assert len(events) > 100
    for name in stories.names():
        assert f"| `{name}` |" in page


def test_a_file_that_is_not_utf_8_is_named(tmp_path):
    """Bytes that are no text are an error, not a traceback."""
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xff")
    with pytest.raises(StoryError, match=r"mine\.toml: .*utf-8"):
        stories.load(path)
