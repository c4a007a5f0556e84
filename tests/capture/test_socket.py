"""An event socket in use: what it asks of the kernel, and what it tells the ledger."""

import pytest

from kevmond.capture.ledger import LossLedger
from kevmond.capture.settings import CaptureSettings
from kevmond.capture.socket import Batch, connect, vendor_names
from kevmond.errors import KernelError
from kevmond.events.filters import EventFilter
from kevmond.kernel.base import KernelFilter
from kevmond.kernel.simulated.model import SimulatedKernel

LINKS = [EventFilter(["class=network subclass=dl"])]
KPI = [EventFilter(["class=network subclass=dl code=link-on", "class=network subclass=inet"])]


@pytest.fixture
def ledger():
    """Give a ledger that was told nothing yet."""
    return LossLedger()


@pytest.fixture
def opened(kernel, ledger):
    """Open a socket with some settings; it is closed at the end."""
    sockets = []

    def open_socket(filters=(), known_boot=None, **settings):
        one = connect(
            kernel, CaptureSettings(**settings), filters, ledger, known_boot=known_boot, now_ns=0
        )
        sockets.append(one.sock)
        return one

    yield open_socket
    for sock in sockets:
        sock.close()


@pytest.mark.parametrize(
    ("filters", "narrow", "wanted"),
    [
        ((), True, KernelFilter()),
        (LINKS, True, KernelFilter(1, 1, 2)),
        (KPI, True, KernelFilter(1, 1, 0)),
        (LINKS, False, KernelFilter()),
        ([*LINKS, EventFilter()], True, KernelFilter()),
    ],
)
def test_kernel_is_asked_for_what_is_wanted(opened, ledger, filters, narrow, wanted):
    """The filter on the socket is the narrowest that will do, unless it may not be narrow."""
    one = opened(filters, narrow=narrow)
    assert one.kernel_filter == one.sock.get_filter() == wanted
    assert one.ids_count == ledger.ids_count == wanted.is_open


def test_what_was_posted_before_is_not_ours(kernel, opened, ledger):
    """The account of a boot begins at the id that was the last when the filter was set."""
    kernel.links(5)
    one = opened()
    assert one.last_id == 5
    kernel.links(1)
    ledger.observe(one.read(10).ids(), 0, one.known_last_id)
    assert (ledger.totals().posted, ledger.totals().delivered) == (1, 1)


def test_gap_between_two_sockets_of_one_boot_is_lost(kernel, opened, ledger):
    """What was posted while no socket was open is lost, and known to be."""
    one = opened()
    one.sock.close()
    ledger.closed()
    kernel.links(4)
    opened(known_boot=one.identity.boot_id)
    assert ledger.totals().lost == 4


def test_failed_connect_closes_its_socket(kernel, opened, ledger, monkeypatch):
    """Whatever fails after the socket was opened, the socket does not stay, nor does a trace."""

    def fail():
        raise KernelError("sysctl", "EIO")

    monkeypatch.setattr(kernel, "statistics", fail)
    with pytest.raises(KernelError):
        opened()
    assert kernel.pcbs == ()
    assert ledger.totals().posted == 0


def test_identity_is_that_of_the_boot_the_socket_is_of(kernel, opened, monkeypatch):
    """A kernel that restarts while a socket is opened is not taken for the one before."""
    open_event_socket = kernel.open_event_socket

    def reboot_first(space):
        kernel.reboot()
        return open_event_socket(space)

    monkeypatch.setattr(kernel, "open_event_socket", reboot_first)
    assert opened().identity == kernel.identity()


def test_batch_ends_where_messages_do(kernel, opened):
    """A batch is full, or ended by what the read that failed had to say."""
    one = opened()
    kernel.links(5)
    full = one.read(3)
    assert (len(full.raws), full.ending, full.times) == (3, None, None)
    rest = one.read(3)
    assert len(rest.raws) == 2
    assert isinstance(rest.ending, BlockingIOError)
    kernel.links(1)
    one.sock.fail_next_read("ENOBUFS")
    failed = one.read(3)
    assert failed.raws == []
    assert failed.ending.symbol == "ENOBUFS"


def test_ending_of_a_batch_holds_nothing(opened):
    """What ended a batch has no traceback, which would keep its messages until a collection."""
    assert opened().read(1).ending.__traceback__ is None


def test_ids_of_sound_messages_only():
    """A message that is not as long as it says has no id to be trusted, nor has a stump."""
    kernel = SimulatedKernel()
    sock = kernel.open_event_socket(32768)
    sock.set_filter(KernelFilter())
    kernel.post(1, 1, 2, 13, b"abcd")
    buffer = memoryview(bytearray(64))
    sound = bytes(buffer[: sock.recv_into(buffer)])
    sock.close()
    assert Batch([sound, sound + b"x"], None, None).ids() == [1, None]
    assert Batch([sound[:10], sound, b""], None, None).ids() == [None, 1, None]


def test_vendors_are_asked_for_once(kernel, opened):
    """Only names without a code are asked for again; news is told as such."""
    code = kernel.vendor_code_find("org.example.a")
    one = opened(vendors=["org.example.a", "org.example.b"])
    assert vendor_names(one.vendor_codes) == {code: "org.example.a"}
    assert not one.look_up_vendors()
    kernel.vendor_code_find("org.example.b")
    assert one.look_up_vendors()
    assert len(one.vendor_codes) == 2


def test_vendor_that_cannot_be_asked_for_is_an_error(opened, monkeypatch):
    """An unknown name is an answer; any other error is one."""
    one = opened()
    one.settings = CaptureSettings(vendors=["org.example.a"])

    def fail(_):
        raise KernelError("SIOCGKEVVENDOR", "EIO")

    monkeypatch.setattr(one.sock, "vendor_code", fail)
    with pytest.raises(KernelError):
        one.look_up_vendors()


def test_strangers_are_third_parties_without_a_name(kernel, opened):
    """Apple is none, nor is a stump, nor anybody once all names have their codes."""
    one = opened(vendors=["org.example.a"])
    code = kernel.vendor_code_find("org.example.b")
    kernel.links(1)
    kernel.inject(b"stump")
    (apple, stump), _, _ = one.read(9)
    kernel.kext_post(code, 1, 1, 1)
    (other,), _, _ = one.read(9)
    assert not one.hears_strangers([apple, stump])
    assert one.hears_strangers([apple, stump, other])
    kernel.vendor_code_find("org.example.a")
    one.look_up_vendors()
    assert not one.hears_strangers([other])


def test_same_filter_is_not_set_again(opened, ledger, monkeypatch):
    """A change that is none costs no call."""
    one = opened(LINKS)
    monkeypatch.setattr(one.sock, "set_filter", lambda _: pytest.fail("set again"))
    one.change_filter(KernelFilter(1, 1, 2), ledger, 0)


def test_last_id_that_cannot_be_asked_is_not_known(opened):
    """Where SIOCGKEVID fails, the answer is None."""
    one = opened()
    one.sock.close()
    assert one.known_last_id() is None
