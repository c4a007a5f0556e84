"""What the simulated kernel does beyond the contract that all kernels obey."""

import select
import struct
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from kevmond.errors import KernelError, KernelGone
from kevmond.kernel.base import KernelFilter
from kevmond.kernel.simulated import sysctls
from kevmond.kernel.simulated.model import SimulatedKernel

BUFFER = memoryview(bytearray(1024))


@pytest.fixture
def kernel():
    """Make a new kernel."""
    return SimulatedKernel()


@pytest.fixture
def sock(kernel):
    """Open a socket of it that is sent everything."""
    with closing(kernel.open_event_socket(32768)) as opened:
        opened.set_filter(KernelFilter())
        yield opened


def descriptors():
    """How many descriptors this process has open."""
    return len(list(Path("/dev/fd").iterdir()))


def read_id(sock):
    """Id of the next message."""
    assert sock.recv_into(BUFFER) >= 24
    return struct.unpack_from("<I", BUFFER, 16)[0]


def test_first_id_is_one(kernel, sock):
    """Ids begin with 1, and 0 means that nothing was posted."""
    assert sock.last_event_id() == 0
    assert kernel.post(1, 1, 2, 13) == 1


def test_ids_wrap(kernel, sock):
    """The id is 32 bits wide and goes on with 0."""
    kernel.last_id = 0xFFFFFFFE
    assert [kernel.post(1, 1, 2, 13) for _ in range(3)] == [0xFFFFFFFF, 0, 1]
    assert [read_id(sock) for _ in range(3)] == [0xFFFFFFFF, 0, 1]


def test_ids_can_be_set_to_repeat_and_swap(kernel, sock):
    """Setting `last_id` makes the duplicate and unordered ids of posters that race."""
    kernel.post(1, 1, 2, 13)
    for last_id in (0, 2, 1):
        kernel.last_id = last_id
        kernel.post(1, 1, 2, 13)
    assert [read_id(sock) for _ in range(4)] == [1, 1, 3, 2]


def test_empty_read_consumes(kernel, sock):
    """A read of length 0 gives 0, discards a waiting message, and never says EAGAIN."""
    empty = memoryview(bytearray(0))
    assert sock.recv_into(empty) == 0
    kernel.post(1, 1, 2, 13)
    kernel.post(1, 1, 2, 13)
    assert sock.recv_into(empty) == 0
    assert read_id(sock) == 2


def test_kext_vectors_stop_at_an_empty_one(kernel, sock):
    """The data of a kext is joined up to its first empty vector, and five at the most."""
    code = kernel.vendor_code_find("org.example")
    kernel.kext_post(code, 1, 1, 1, [b"ab", b"", b"cd"])
    kernel.kext_post(code, 1, 1, 1, [b"a", b"b", b"c", b"d", b"e", b"f"])
    texts = [bytes(BUFFER[24 : sock.recv_into(BUFFER)]) for _ in range(2)]
    assert texts == [b"ab", b"abcde"]


def test_vendor_codes_begin_with_1001(kernel):
    """Codes are given in turn from 1001, one a name; any name of up to 199 bytes is taken."""
    names = ["org.example", "", "com.apple", "x" * 199, "org.example"]
    assert [kernel.vendor_code_find(name) for name in names] == [1001, 1002, 1003, 1004, 1001]
    with pytest.raises(KernelError) as refusal:
        kernel.vendor_code_find("x" * 200)
    assert refusal.value.symbol == "EINVAL"


def test_long_vendor_string_is_cut(kernel):
    """SIOCGKEVVENDOR of 200 bytes without a NUL looks for the first 199."""
    code = kernel.vendor_code_find("x" * 199)
    assert kernel.vendor_code(b"x" * 200) == code


def test_apple_is_not_in_the_table(kernel, sock):
    """On a fresh kernel "com.apple" has no code: 1 is a constant."""
    with pytest.raises(KernelError) as refusal:
        sock.vendor_code("com.apple")
    assert refusal.value.symbol == "ENOENT"


def test_newest_socket_is_served_first(kernel):
    """When mbufs run out half-way, the older sockets miss the event and `nomem` counts one."""
    with ExitStack() as stack:
        socks = [stack.enter_context(closing(kernel.open_event_socket(32768))) for _ in range(3)]
        for sock in socks:
            sock.set_filter(KernelFilter())
        kernel.starve_next_post(1)
        kernel.post(1, 1, 2, 13)
        kernel.post(1, 1, 2, 13)
        assert [read_id(sock) for sock in socks] == [2, 2, 1]
        assert kernel.statistics().nomem == 1
        assert [sock.dropped() for sock in socks] == [0, 0, 0]


def test_smaller_buffer_keeps_what_is_queued(kernel, sock):
    """A buffer made smaller than what is queued drops new messages until that is read."""
    for _ in range(10):
        kernel.post(1, 1, 2, 13)
    sock.set_receive_space(48)
    kernel.post(1, 1, 2, 13)
    assert sock.dropped() == 1
    assert [read_id(sock) for _ in range(10)] == list(range(1, 11))
    kernel.post(1, 1, 2, 13)
    assert read_id(sock) == 12


def test_reboot(kernel, sock):
    """A reboot takes the sockets away and begins ids, codes, counters and the boot anew."""
    before = kernel.identity()
    kernel.vendor_code_find("org.example")
    kernel.post(1, 1, 2, 13)
    kernel.reboot()
    assert select.select([sock], [], [], 0)[0] == [sock]
    for call in (lambda: sock.recv_into(BUFFER), sock.last_event_id, sock.get_filter):
        with pytest.raises(KernelGone, match="rebooted"):
            call()
    after = kernel.identity()
    assert after.boot_id != before.boot_id
    assert (after.host, after.os_release, after.os_build) == (
        before.host,
        before.os_release,
        before.os_build,
    )
    statistics = kernel.statistics()
    assert (statistics.pcbcount, statistics.gencnt, statistics.posted) == (0, 0, 0)
    assert kernel.post(1, 1, 2, 13) == 1
    assert kernel.vendor_code_find("org.other") == 1001


def test_reboot_while_the_descriptor_is_watched(kernel, sock):
    """Readers are woken by a reboot, whether or not messages were waiting."""
    assert select.select([sock], [], [], 0)[0] == []
    kernel.reboot()
    assert select.select([sock], [], [], 0)[0] == [sock]
    with closing(kernel.open_event_socket(32768)) as other:
        other.set_filter(KernelFilter())
        other.fileno()
        kernel.post(1, 1, 2, 13)
        kernel.reboot()
        assert select.select([other], [], [], 0)[0] == [other]
        with pytest.raises(KernelGone):
            other.recv_into(BUFFER)


def test_failing_read(kernel, sock):
    """A read told to fail does so once, and loses nothing."""
    kernel.post(1, 1, 2, 13)
    sock.fail_next_read("ENOBUFS")
    with pytest.raises(KernelError) as failure:
        sock.recv_into(BUFFER)
    assert failure.value.symbol == "ENOBUFS"
    sock.fail_next_read("EAGAIN")
    with pytest.raises(BlockingIOError):
        sock.recv_into(BUFFER)
    assert read_id(sock) == 1


def test_descriptors_are_closed(kernel):
    """Closing a socket closes its socket pair, and one never watched has none."""
    before = descriptors()
    with closing(kernel.open_event_socket(32768)) as sock:
        assert descriptors() == before
        assert sock.fileno() == sock.fileno()
        assert descriptors() == before + 2
    assert descriptors() == before


def test_injected_lengths_are_bounded(kernel):
    """An empty message or an absurd one is a mistake of the caller."""
    for raw in (b"", bytes(65537)):
        with pytest.raises(ValueError, match="1 to 65536 bytes"):
            kernel.inject(raw)


def test_identity_is_as_given():
    """Boot, host and system are what the kernel was made with."""
    kernel = SimulatedKernel(boot_id="b", host="h", os_release="24.4.0", os_build="24E248")
    identity = kernel.identity()
    assert (identity.boot_id, identity.host) == ("b", "h")
    assert (identity.os_release, identity.os_build) == ("24.4.0", "24E248")


def test_sysctls(kernel, sock):
    """Sysctls read as on a Mac: strings with their NUL, integers of 4 bytes, no writing."""
    assert sysctls.read(kernel, "kern.osrelease") == (7, b"20.6.0\0")
    assert sysctls.read(kernel, "kern.ipc.maxsockbuf") == (4, struct.pack("<i", 8388608))
    assert sysctls.read(kernel, "net.systm.kevt.pcbcount") == (4, struct.pack("<i", 1))
    assert sysctls.read(kernel, "net.systm.kevt.stats") == (56, struct.pack("<7Q", 1, 1, *[0] * 5))
    for name, writes, symbol in (("no.such", False, "ENOENT"), ("kern.osrelease", True, "EPERM")):
        with pytest.raises(KernelError) as refusal:
            sysctls.read(kernel, name, writes=writes)
        assert refusal.value.symbol == symbol
