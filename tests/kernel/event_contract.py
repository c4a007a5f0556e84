"""What every kernel's event socket does, whichever kernel it is: checks run on each of them.

Each takes the kernel whose sockets are read and the one that is told to post; for a simulated
kernel in process they are the same.  Run as a program, with the Unix socket of a served simulated
kernel as argument, it checks the Darwin kernel and prints what failed as JSON; a preloaded library
must answer for PF_SYSTEM.
"""

# ruff: noqa: D401 - a check's docstring states the fact that it proves

import asyncio
import inspect
import json
import os
import select
import sys
import traceback
from contextlib import closing

import uvloop

from kevmond.errors import KernelError
from kevmond.kernel import abi
from kevmond.kernel.base import KernelFilter
from kevmond.kernel.darwin import DarwinKernel
from kevmond.kernel.simulated.remote import RemoteKernel

BUFFER = memoryview(bytearray(abi.READ_SIZE))
EVERYTHING = KernelFilter()
TIMEOUT = 20.0


def opened(kernel, kernel_filter=EVERYTHING, space=abi.KEV_RECVSPACE):
    """Open a socket that is closed at the end of the block."""
    sock = kernel.open_event_socket(space)
    if kernel_filter is not None:
        sock.set_filter(kernel_filter)
    return closing(sock)


def read(sock):
    """Read one message; None if none waits."""
    try:
        size = sock.recv_into(BUFFER)
    except BlockingIOError:
        return None
    return bytes(BUFFER[:size])


def read_all(sock):
    """Read what waits."""
    return list(iter(lambda: read(sock), None))


def read_count(sock, count):
    """Read `count` messages, waiting for those that are on their way."""
    messages = []
    while len(messages) < count:
        message = read(sock)
        if message is not None:
            messages.append(message)
        elif not select.select([sock], [], [], TIMEOUT)[0]:
            raise TimeoutError(f"{len(messages)} of {count} messages came")
    return messages


def ids(messages):
    """Event ids of messages."""
    return [abi.HEADER.unpack_from(message)[4] for message in messages]


def symbol(call, *arguments):
    """Errno name that a call fails with."""
    try:
        call(*arguments)
    except KernelError as error:
        return error.symbol
    raise AssertionError("it did not fail")


def check_message_bytes(kernel, poster):
    """A message is the 24-byte header in little endian followed by the payload."""
    with opened(kernel) as sock:
        event_id = poster.post(1, 2, 3, 4, b"payload")
        assert read_all(sock) == [abi.HEADER.pack(31, 1, 2, 3, event_id, 4) + b"payload"]


def check_nothing_before_filter(kernel, poster):
    """A new socket is sent nothing, and its filter reads vendor 0xffffffff."""
    with opened(kernel, None) as sock:
        assert sock.get_filter() == KernelFilter(0xFFFFFFFF, 0, 0)
        poster.post(1, 1, 2, 13)
        assert read(sock) is None
        sock.set_filter(EVERYTHING)
        assert read(sock) is None


def check_filters_nest(kernel, poster):
    """Vendor 0 passes everything, class 0 all of a vendor, subclass 0 all of a class."""
    events = [(1, 1, 1), (1, 1, 2), (1, 2, 1), (1001, 1, 1), (1001, 0, 0)]
    expected = {
        (0, 0, 0): events,
        (0, 7, 7): events,
        (1, 0, 0): events[:3],
        (1, 0, 9): events[:3],
        (1, 1, 0): events[:2],
        (1, 1, 2): [events[1]],
        (1, 9, 0): [],
        (1001, 0, 0): events[3:],
        (2, 0, 0): [],
    }
    for codes, passed in expected.items():
        with opened(kernel, KernelFilter(*codes)) as sock:
            assert sock.get_filter() == KernelFilter(*codes)
            for event in events:
                poster.post(*event, 0)
            read_codes = [abi.HEADER.unpack_from(message)[1:4] for message in read_all(sock)]
            assert read_codes == passed, codes


def check_filter_change_keeps_queue(kernel, poster):
    """What is queued survives a change of the filter, which applies when events are posted."""
    with opened(kernel) as sock:
        first = poster.post(1, 1, 2, 13)
        sock.set_filter(KernelFilter(1, 5, 0))
        poster.post(1, 1, 2, 12)
        last = poster.post(1, 5, 1, 0)
        assert ids(read_all(sock)) == [first, last]


def check_ids_count_every_post(kernel, poster):
    """The id moves on by one with each post, also for events that nobody reads."""
    with opened(kernel, KernelFilter(1, 5, 0)) as sock:
        before = sock.last_event_id()
        assert poster.post(1, 1, 2, 13) == before + 1
        assert poster.post(1, 5, 2, 13) == before + 2
        assert sock.last_event_id() == before + 2
        assert ids(read_all(sock)) == [before + 2]


def check_no_backlog(kernel, poster):
    """A socket is not sent what was posted before it was opened, but knows the last id."""
    event_id = poster.post(1, 1, 2, 13)
    with opened(kernel) as sock:
        assert read(sock) is None
        assert sock.last_event_id() == event_id


def check_all_sockets_see_the_same(kernel, poster):
    """Every socket gets its own copy, with the same id."""
    with opened(kernel) as one, opened(kernel) as other:
        event_id = poster.post(1, 1, 2, 13)
        assert ids(read_all(one)) == ids(read_all(other)) == [event_id]


def check_short_read_cuts(kernel, poster):
    """A buffer too short cuts the message, and its rest is gone."""
    with opened(kernel) as sock:
        poster.post(1, 1, 2, 13, b"first")
        last = poster.post(1, 1, 2, 13, b"second")
        small = memoryview(bytearray(10))
        assert sock.recv_into(small) == 10
        assert bytes(small) == abi.HEADER.pack(29, 1, 1, 2, last - 1, 13)[:10]
        assert ids(read_all(sock)) == [last]


def check_default_space(kernel, poster):
    """The default buffer holds 682 messages of 48 bytes; then the new ones are dropped."""
    with opened(kernel) as sock:
        assert sock.receive_space == 32768
        last = poster_burst(poster, 2000, b"x" * 24)
        first = last - 1999
        assert ids(read_count(sock, 682)) == list(range(first, first + 682))
        assert read(sock) is None
        assert sock.dropped() == 1318
        assert sock.last_event_id() == last
        assert poster.post(1, 1, 2, 13) == last + 1
        assert ids(read_all(sock)) == [last + 1]


def check_space_comes_back(kernel, poster):
    """Space is free for a new message as soon as an old one was read."""
    with opened(kernel) as sock:
        poster_burst(poster, 683, b"x" * 24)
        assert sock.dropped() == 1
        for _ in range(5):
            assert len(read_count(sock, 3)) == 3
            poster_burst(poster, 4, b"x" * 24)
        assert sock.dropped() == 6
        assert len(read_count(sock, 682)) == 682
        assert read(sock) is None


def check_granted_space(kernel, poster):
    """8 MiB are refused with ENOBUFS and 7,456,540 bytes granted, which hold 30,000 events."""
    with opened(kernel, space=8 * 1024 * 1024) as sock:
        assert sock.receive_space == 7456540
        last = poster_burst(poster, 30000, b"x" * 24)
        assert ids(read_count(sock, 30000)) == list(range(last - 29999, last + 1))
        assert sock.dropped() == 0


def check_exact_loss(kernel, poster):
    """However much is posted, what was read and what was dropped add up to it."""
    with opened(kernel, space=8 * 1024 * 1024) as sock:
        last = poster_burst(poster, 40000, b"x" * 24)
        assert ids(read_count(sock, 32768)) == list(range(last - 39999, last - 7231))
        assert read(sock) is None
        assert sock.dropped() == 40000 - 32768


def check_space_as_asked(kernel, poster):
    """A buffer of the size asked for is granted, also a smaller one than the default."""
    for size in (1, 100, 2048, 1048576):
        with opened(kernel, space=size) as sock:
            assert sock.receive_space == size
    for size in (0, -1):
        assert symbol(kernel.open_event_socket, size) == "EINVAL"


def check_vendor_codes(kernel, poster):
    """A name that a kext asked for has a code of 1001 or more; all others are ENOENT."""
    code = poster.vendor_code_find("org.example.kext")
    longest = poster.vendor_code_find("x" * 199)
    with opened(kernel) as sock:
        assert sock.vendor_code("org.example.kext") == code >= 1001
        assert sock.vendor_code("x" * 199) == longest
        for name in ("org.example.KEXT", "org.example", "", "x" * 200, "com.apple"):
            assert symbol(sock.vendor_code, name) == "ENOENT"


def check_kext_posts(kernel, poster):
    """A kext's event carries the code that it was given; with another one it is refused."""
    code = poster.vendor_code_find("org.example.kext")
    with opened(kernel, KernelFilter(code)) as sock:
        before = kernel.statistics().badvendor
        event_id = poster.kext_post(code, 0, 0, 7, b"data")
        assert symbol(poster.kext_post, 1, 1, 1, 1) == "EINVAL"
        assert symbol(poster.kext_post, 999999, 1, 1, 1) == "EINVAL"
        assert kernel.statistics().badvendor == before + 2
        assert read_all(sock) == [abi.HEADER.pack(28, code, 0, 0, event_id, 7) + b"data"]
        assert sock.last_event_id() == event_id


def check_message_limit(kernel, poster):
    """A payload of 200 bytes passes; one of 201 is refused, counted, and takes no id."""
    with opened(kernel) as sock:
        before = kernel.statistics().toobig
        event_id = poster.post(1, 1, 1, 1, bytes(200))
        assert symbol(poster.post, 1, 1, 1, 1, bytes(201)) == "EMSGSIZE"
        assert kernel.statistics().toobig == before + 1
        assert sock.last_event_id() == event_id
        assert [len(message) for message in read_all(sock)] == [224]


def check_injected_bytes(kernel, poster):
    """Injected bytes arrive as they are, to sockets whose filter their header passes."""
    good = abi.HEADER.pack(24, 1, 1, 2, 77, 13)
    lying = abi.HEADER.pack(9999, 1, 1, 2, 78, 13) + b"tail"
    with opened(kernel) as sock, opened(kernel, KernelFilter(1, 1, 2)) as narrow:
        before = sock.last_event_id()
        for raw in (good, lying, b"\xff", bytes(300)):
            poster.inject(raw)
        assert read_all(sock) == [good, lying, b"\xff", bytes(300)]
        assert read_all(narrow) == [good, lying]
        assert sock.last_event_id() == before + 4


def check_statistics(kernel, poster):
    """Counters move as XNU's do: posted by deliveries, fullsock by drops, gencnt by sockets."""
    before = kernel.statistics()
    poster.post(1, 1, 2, 13)
    assert kernel.statistics() == before
    with opened(kernel) as sock, opened(kernel, space=100):
        poster.post(1, 1, 2, 13)
        poster.post(1, 1, 2, 13, bytes(60))
        after = kernel.statistics()
        assert after.pcbcount - before.pcbcount == 2
        assert after.gencnt - before.gencnt == 2
        assert after.posted - before.posted == 3
        assert after.fullsock - before.fullsock == 1
        assert len(read_all(sock)) == 2
    closed = kernel.statistics()
    assert (closed.pcbcount, closed.gencnt) == (before.pcbcount, before.gencnt + 4)


def check_drops_are_per_socket(kernel, poster):
    """A socket's drop counter is its own, though another of this process overflows."""
    with (
        opened(kernel, KernelFilter(1, 1, 0), space=2048) as small,
        opened(kernel, KernelFilter(1, 1, 2), space=4096) as large,
    ):
        poster_burst(poster, 50, b"x" * 24)
        assert (small.dropped(), large.dropped()) == (50 - 42, 0)
        assert len(read_count(small, 42)) == 42
        assert len(read_count(large, 50)) == 50


def check_readiness(kernel, poster):
    """The descriptor is readable exactly while messages wait."""
    with opened(kernel) as sock:
        for count in (1, 3, 1):
            assert select.select([sock], [], [], 0) == ([], [], [])
            poster_burst(poster, count, b"")
            for _ in range(count):
                assert select.select([sock], [], [], 0)[0] == [sock]
                assert read(sock) is not None
        assert select.select([sock], [], [], 0) == ([], [], [])


def check_event_loop(kernel, poster):
    """The add_reader of uvloop, which wants FIONBIO and epoll, wakes for a message."""

    async def wait():
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()
        with opened(kernel) as sock:
            loop.add_reader(sock.fileno(), woken.set)
            try:
                event_id = poster.post(1, 1, 2, 13)
                await asyncio.wait_for(woken.wait(), TIMEOUT)
                assert ids(read_all(sock)) == [event_id]
            finally:
                loop.remove_reader(sock.fileno())

    uvloop.run(wait())


def check_identity(kernel, poster):
    """Reader and poster agree on boot, host and system, and the boot id is in lower case."""
    identity = kernel.identity()
    theirs = poster.identity()
    assert identity.boot_id == theirs.boot_id == identity.boot_id.lower()
    assert (identity.os_release, identity.os_build) == (theirs.os_release, theirs.os_build)
    assert identity.host


def check_closed(kernel, poster):
    """Closing twice is harmless; a closed socket answers EBADF and counts nothing."""
    sock = kernel.open_event_socket(2048)
    sock.close()
    sock.close()
    assert sock.fileno() == -1
    assert symbol(sock.recv_into, BUFFER) == "EBADF"
    assert symbol(sock.set_filter, EVERYTHING) == "EBADF"
    assert symbol(sock.get_filter) == "EBADF"
    assert symbol(sock.last_event_id) == "EBADF"
    assert symbol(sock.vendor_code, "x") == "EBADF"
    assert sock.dropped() is None


def check_live_messages_have_no_recorded_time(kernel, poster):
    """Only a recording tells when a message was first seen."""
    with opened(kernel) as sock:
        assert sock.recorded_ns() is None


def poster_burst(poster, count, data):
    """Post `count` equal events back to back; the id of the last."""
    if isinstance(poster, RemoteKernel):
        return poster.post(1, 1, 2, 13, data, times=count)
    return [poster.post(1, 1, 2, 13, data) for _ in range(count)][-1]


CHECKS = {
    name.removeprefix("check_"): function
    for name, function in list(globals().items())
    if name.startswith("check_") and inspect.isfunction(function)
}


def run_checks(checks, *arguments):
    """Run each check; the traceback of each that failed by its name."""
    failures = {}
    for name, check in checks.items():
        try:
            check(*arguments)
        except BaseException:  # noqa: BLE001 - whatever failed is told to the test that asked
            failures[name] = traceback.format_exc()
    return failures


if __name__ == "__main__":
    assert os.environ.get("KEVSHIM_SERVER"), "the preloaded library needs a server"
    failed = run_checks(CHECKS, DarwinKernel(), RemoteKernel(sys.argv[1]))
    json.dump(failed, sys.stdout)
