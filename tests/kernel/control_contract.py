"""What every kernel's control socket does, whichever kernel it is: checks run on each of them.

Each takes a `Lab` of control_lab.py: the kernel whose sockets are used, and the simulated kernel
behind it.  Run as a program it serves a simulated kernel from a thread, checks the Darwin kernel on
it, asks it the measured errno table, and prints what failed as JSON; a preloaded library must
answer for PF_SYSTEM.
"""

# ruff: noqa: D401 - a check's docstring states the fact that it proves

import asyncio
import inspect
import json
import os
import runpy
import select
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import uvloop

from kevmond.kernel import control_abi
from kevmond.kernel.control_abi import ControlFlag, EnqueueFlag
from kevmond.kernel.control_base import ControlAddress
from kevmond.kernel.simulated.model import SimulatedKernel

HERE = Path(__file__).parent
LAB = runpy.run_path(str(HERE / "control_lab.py"))
symbol, received, received_bytes, same = (
    LAB[name] for name in ("symbol", "received", "received_bytes", "same")
)
TIMEOUT, STATIC_ID = LAB["TIMEOUT"], LAB["STATIC_ID"]
EOR = EnqueueFlag.EOR
JOIN = EnqueueFlag(0)
DEFAULT = ("org.example.echo", "org.example.stream", "org.example.sized")


def check_lookup(lab):
    """A name is looked up before any connect, on both types of socket; so are the controls."""
    for stream in (False, True):
        with closing(lab.kernel.open_control_socket(stream=stream)) as sock:
            assert sock.stream is stream
            assert sock.lookup("org.example.static") == STATIC_ID
            assert sock.count() == len(lab.model.kctl.controls)
            assert symbol(sock.lookup, "org.example.nobody") == "ENOENT"
            for impossible in ("", "x" * 96, "a\0b"):
                assert symbol(sock.lookup, impossible) == "EINVAL"


def check_units(lab):
    """Unit 0 takes the lowest free one; a unit in use is EBUSY; the peer's address tells it."""
    control_id = lab.controls["org.example.echo"].control_id
    with lab.connected() as one, lab.connected(unit=50) as other, lab.connected() as third:
        assert one.peer() == ControlAddress(control_id, 1)
        assert other.peer() == ControlAddress(control_id, 50)
        assert third.peer() == ControlAddress(control_id, 2)
        with closing(lab.kernel.open_control_socket()) as late:
            assert symbol(late.peer) == "ENOTCONN"
            assert symbol(late.connect, ControlAddress(control_id, 50)) == "EBUSY"
            assert symbol(late.connect, ControlAddress(STATIC_ID, 8)) == "ENOENT"
            late.connect(ControlAddress(STATIC_ID, 7))
            assert symbol(late.connect, ControlAddress(STATIC_ID, 7)) == "EISCONN"


def check_connect_handler_sees_the_address(lab):
    """The control is shown the whole sockaddr_ctl with the real unit, the process and the user."""
    control_id = lab.controls["org.example.echo"].control_id
    with lab.connected():
        address = control_abi.SOCKADDR_CTL.pack(32, 32, 2, control_id, 1)
        assert lab.echo.calls == [("connect", 1, os.getpid(), 0, address)]


def check_privilege(lab):
    """A privileged control is for root alone."""
    with lab.as_user(501):
        with closing(lab.kernel.open_control_socket()) as sock:
            private = lab.controls["org.example.private"].control_id
            assert symbol(sock.connect, ControlAddress(private)) == "EPERM"
        with lab.connected():
            assert lab.echo.calls[-1][3] == 501
    with lab.connected("org.example.private") as sock:
        assert sock.peer().unit == 1


def check_type(lab):
    """The wrong type of socket is EPROTOTYPE, and the right one connects."""
    for name in DEFAULT:
        control = lab.controls[name]
        wrong = lab.kernel.open_control_socket(stream=not control.is_stream)
        with closing(wrong) as sock:
            assert symbol(sock.connect, ControlAddress(control.control_id)) == "EPROTOTYPE"
        with lab.connected(name) as sock:
            assert sock.stream is control.is_stream


def check_messages(lab):
    """What is sent reaches the control whole, answers come one a receive, then nothing does."""
    with lab.connected() as sock:
        assert symbol(sock.receive, 100) == "EAGAIN"
        for size in (1, 5, 225, 2047, 2048):
            data = bytes(range(256)) * 8
            assert sock.send(data[:size]) == size
            assert lab.echo.calls[-1] == ("send", data[:size], 0)
            assert received(sock) == data[:size]
        assert sock.send(b"") == 0
        assert lab.echo.calls[-1] == ("send", b"", 0)
        assert symbol(sock.receive, 100) == "EAGAIN"
        assert symbol(sock.send, bytes(2049)) == "EMSGSIZE"


def check_send_errors(lab):
    """An error of the control's is the sender's, by its name or its number."""
    with lab.connected() as sock:
        for name in ("ENOBUFS", "EINTR", "EIO", "EMSGSIZE", "errno 9999", "EAGAIN", "EHOSTDOWN"):
            assert symbol(sock.send, b"fail " + name.encode()) == name
        before = len(lab.echo.calls)
        assert symbol(sock.send, b"fail EINTR") == "EINTR"
        assert len(lab.echo.calls) == before + 1
    with closing(lab.kernel.open_control_socket()) as sock:
        assert symbol(sock.send, b"x") == "ENOTCONN"
        assert symbol(sock.receive, 10) == "ENOTCONN"


def check_set_options(lab):
    """A value of any length reaches the control; None is no value, and so is an empty one."""
    with lab.connected() as sock:
        for value in (b"\0", b"abcd", bytes(4096), b"z" * 65536, b"y" * 200000, b"w" * 700000):
            sock.set_option(1, value)
            assert lab.echo.calls[-1] == ("setopt", 1, value)
        for value in (None, b""):
            sock.set_option(7, value)
            assert lab.echo.calls[-1] == ("setopt", 7, None)
        for option in (-1, 0x7FFFFFFF):
            sock.set_option(option, b"x")
            assert lab.echo.calls[-1] == ("setopt", option, b"x")
        assert symbol(sock.set_option, 1, bytes((64 << 20) + 1)) == "EINVAL"


def check_get_options(lab):
    """A value of any length comes back, cut to what there is room for, or shorter."""
    with lab.connected() as sock:
        for value in (b"abcd", b"z" * 65536, b"y" * 200000):
            sock.set_option(1, value)
            assert sock.get_option(1, 300000) == value
            assert sock.get_option(1, 2) == value[:2]
        assert sock.option_size(5) == 10
        assert lab.echo.calls[-1] == ("getopt", 5, None, 0)
        assert sock.get_option(3, 16) == b""
        assert symbol(sock.get_option, 3, (64 << 20) + 1) == "EINVAL"


def check_get_buffer_is_shown(lab):
    """The control sees what the buffer holds: the request, then zeros."""
    with lab.connected() as sock:
        assert sock.get_option(2, 6, b"ask") == b"ask\0\0\0"
        assert sock.get_option(2, 2, b"ask") == b"as"
        assert sock.get_option(2, 3) == bytes(3)
        assert sock.get_option(3, 5000, (4999).to_bytes(4, "little")) == b"x" * 4999
        large = bytes(range(256)) * 500
        assert sock.get_option(2, len(large), large) == large


def check_option_errors(lab):
    """An option's error is the caller's; before connect there are no options."""
    with lab.connected() as sock:
        for name in ("EINVAL", "ENOPROTOOPT", "EPERM", "errno 9999"):
            assert symbol(sock.set_option, 4, name.encode()) == name
    with closing(lab.kernel.open_control_socket()) as sock:
        assert symbol(sock.set_option, 1, b"x") == "EINVAL"
        assert symbol(sock.get_option, 1, 4) == "EINVAL"
        assert symbol(sock.option_size, 1) == "EINVAL"


def check_records(lab):
    """With CTL_DATA_EOR a message is a receive; the rest of one that is too long is lost."""
    with lab.connected() as sock:
        for data in (b"first", b"second!", b"0123456789", b"ABCDEFGHIJ"):
            assert lab.enqueue(sock, data) is None
        assert sock.next_size() == 5
        assert [received(sock, 100) for _ in range(2)] == [b"first", b"second!"]
        assert received(sock, 4) == b"0123"
        assert received(sock, 100) == b"ABCDEFGHIJ"
        assert sock.next_size() == 0
        assert symbol(sock.receive, 100) == "EAGAIN"


def check_merged_records(lab):
    """Without CTL_DATA_EOR data joins what was not read yet, and no more than that."""
    with lab.connected() as sock:
        lab.enqueue(sock, b"first", JOIN)
        lab.enqueue(sock, b"second!", JOIN)
        assert sock.next_size() == 12
        assert received(sock, 100) == b"firstsecond!"
        lab.enqueue(sock, b"alone", JOIN)
        assert received(sock, 100) == b"alone"
        for data, flags in ((b"one", EOR), (b"two", JOIN), (b"three", EOR), (b"four", JOIN)):
            lab.enqueue(sock, data, flags)
        assert [received(sock, 100) for _ in range(3)] == [b"one", b"twothree", b"four"]
        assert symbol(sock.receive, 100) == "EAGAIN"


def check_full_queue(lab):
    """A full queue refuses with ENOBUFS until something was read; what was taken all comes."""
    with lab.connected() as sock:
        for _ in range(3):
            messages = [bytes([number]) * 1000 for number in range(8)]
            assert [lab.enqueue(sock, data) for data in messages] == [None] * 8
            assert lab.enqueue(sock, bytes(1000)) == "ENOBUFS"
            assert received(sock) == messages[0]
            assert lab.enqueue(sock, b"z" * 1000) is None
            assert lab.enqueue(sock, bytes(1000)) == "ENOBUFS"
            assert [received(sock) for _ in range(8)] == [*messages[1:], b"z" * 1000]


def check_large_queue(lab):
    """A queue as large as can be had gives everything back, in order."""
    with lab.connected() as sock:
        sock.set_receive_space(7_000_000)
        expected = [number.to_bytes(4, "little") * 128 for number in range(3000)]

        def fill():
            table, control = lab.model.kctl, lab.controls["org.example.echo"]
            for data in expected:
                table.enqueue(control, 1, data, EOR)

        lab.run(fill)
        assert [received(sock) for _ in expected] == expected


def check_spaces(lab):
    """Both buffers are nothing before connect, the control's own after it, and can be changed."""
    with closing(lab.kernel.open_control_socket()) as sock:
        assert (sock.send_space, sock.receive_space) == (0, 0)
    with lab.connected("org.example.sized") as sock:
        assert (sock.send_space, sock.receive_space) == (20000, 30000)
    with lab.connected() as sock:
        assert (sock.send_space, sock.receive_space) == (2048, 8192)
        sock.set_send_space(60000)
        sock.set_receive_space(100000)
        assert (sock.send_space, sock.receive_space) == (60000, 100000)
        sock.send(b"q" * 60000)
        assert received(sock) == b"q" * 60000
        assert symbol(sock.set_receive_space, 0) == "EINVAL"
        assert symbol(sock.set_receive_space, 1 << 30) == "ENOBUFS"


def check_stream(lab):
    """A stream has no messages: short reads lose nothing, long sends come in pieces."""
    with lab.connected("org.example.stream") as sock:
        sock.send(bytes(5000))
        sizes = [len(call[1]) for call in lab.echo.calls if call[0] == "send"]
        assert sizes == [2048, 2048, 904]
        lab.enqueue(sock, b"first", JOIN)
        lab.enqueue(sock, b"second!", JOIN)
        assert sock.next_size() == 12
        assert received(sock, 4) == b"firs"
        assert received_bytes(sock, 8) == b"tsecond!"
        assert symbol(sock.receive, 100) == "EAGAIN"


def check_stream_fills_up(lab):
    """A stream's queue holds its bytes, and takes more as soon as some were read."""
    with lab.connected("org.example.stream") as sock:
        assert [lab.enqueue(sock, bytes([number]) * 1000, JOIN) for number in range(8)] == (
            [None] * 8
        )
        assert lab.enqueue(sock, bytes(1000), JOIN) == "ENOBUFS"
        assert received_bytes(sock, 1500) == b"\0" * 1000 + b"\1" * 500
        assert lab.enqueue(sock, b"z" * 1000, JOIN) is None
        rest = received_bytes(sock, 7500)
        assert rest == b"\1" * 500 + b"".join(bytes([n]) * 1000 for n in range(2, 8)) + b"z" * 1000


def check_readiness(lab):
    """The descriptor is readable exactly while something waits, and always writable."""
    for name in ("org.example.echo", "org.example.stream"):
        with lab.connected(name) as sock:
            for _ in range(2):
                assert select.select([sock], [], [], 0)[0] == []
                lab.enqueue(sock, b"x")
                assert select.select([sock], [], [], TIMEOUT)[0] == [sock]
                assert received(sock) == b"x"
            assert select.select([sock], [], [], 0)[0] == []


def check_event_loop(lab):
    """The add_reader of uvloop wakes for a message."""

    async def wait():
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()
        with lab.connected() as sock:
            loop.add_reader(sock.fileno(), woken.set)
            try:
                sock.send(b"hello")
                await asyncio.wait_for(woken.wait(), TIMEOUT)
                assert received(sock) == b"hello"
            finally:
                loop.remove_reader(sock.fileno())

    uvloop.run(wait())


def check_close(lab):
    """Closing has run the disconnect handler and freed the unit when it returns, data or not."""
    control = lab.controls["org.example.echo"]
    with lab.connected() as sock:
        sock.send(b"unread")
        assert symbol(lab.run, lambda: lab.model.kctl.deregister(control)) == "EBUSY"
        sock.close()
        assert lab.echo.calls[-1] == ("disconnect", 1)
        sock.close()
        assert [call for call in lab.echo.calls if call[0] == "disconnect"] == [("disconnect", 1)]
        assert sock.fileno() == -1
    lab.run(lambda: lab.model.kctl.deregister(control))


def check_closed(lab):
    """A closed socket answers EBADF."""
    sock = lab.kernel.open_control_socket()
    sock.close()
    address = ControlAddress(1)
    for call, arguments in (
        (sock.lookup, ("org.example.echo",)),
        (sock.count, ()),
        (sock.bind, (address,)),
        (sock.connect, (address,)),
        (sock.peer, ()),
        (sock.send, (b"x",)),
        (sock.receive, (10,)),
        (sock.next_size, ()),
        (sock.set_option, (1, b"x")),
        (sock.get_option, (1, 4)),
        (sock.option_size, (1,)),
        (sock.set_send_space, (4096,)),
        (sock.set_receive_space, (4096,)),
        (sock.shutdown, (0,)),
    ):
        assert symbol(call, *arguments) == "EBADF", call


def check_refused_connect(lab):
    """A control that refuses is told of the disconnect, and the same socket may try again."""
    lab.echo.greeting, lab.echo.refuses = b"not for you", "ECONNREFUSED"
    with closing(lab.kernel.open_control_socket()) as sock:
        address = ControlAddress(lab.controls["org.example.echo"].control_id)
        assert symbol(sock.connect, address) == "ECONNREFUSED"
        assert [call[0] for call in lab.echo.calls] == ["connect", "disconnect"]
        assert symbol(sock.receive, 100) == "ENOTCONN"
        lab.echo.greeting, lab.echo.refuses = b"hello", None
        sock.connect(address)
        assert received(sock) == b"hello"
        assert symbol(sock.receive, 100) == "EAGAIN"


def check_bind(lab):
    """Binding to an ordinary control is EINVAL, though it is attached from then on."""
    control = lab.controls["org.example.echo"]
    with closing(lab.kernel.open_control_socket()) as sock:
        assert symbol(sock.bind, ControlAddress(control.control_id)) == "EINVAL"
        assert symbol(lab.run, lambda: lab.model.kctl.deregister(control)) == "EBUSY"


def check_shutdown(lab):
    """SHUT_RD ends reading and queueing, unread or not; sending goes on; SHUT_WR is refused."""
    with lab.connected() as sock:
        assert symbol(sock.shutdown, control_abi.SHUT_WR) in {"EOPNOTSUPP", same("EOPNOTSUPP")}
        lab.enqueue(sock, b"unread")
        sock.shutdown(control_abi.SHUT_RD)
        assert select.select([sock], [], [], TIMEOUT)[0] == [sock]
        assert sock.receive(100) == b""
        assert lab.enqueue(sock, b"more") == "ENOBUFS"
        assert sock.peer().unit == 1
        assert symbol(sock.send, b"answered", fails=None) == "ENOBUFS"
        assert lab.echo.calls[-1] == ("send", b"answered", 0)


def check_crashed_control(lab):
    """When its registrant crashes a socket reads the end, and its peer is EINVAL: it is dead."""
    with lab.connected() as sock:
        lab.enqueue(sock, b"unread")
        control = lab.controls["org.example.echo"]
        lab.run(lambda: lab.model.kctl.deregister(control, force=True))
        assert select.select([sock], [], [], TIMEOUT)[0] == [sock]
        assert sock.receive(100) == b""
        assert symbol(sock.peer) == "EINVAL"
        assert symbol(sock.send, b"x") == "EPIPE"
        assert symbol(sock.set_option, 1, b"x") == "EINVAL"


def check_list(lab):
    """The list tells each control's numbers, flags and handlers, and who is connected."""
    with lab.connected() as one, lab.connected(unit=9), lab.connected("org.example.static", 7):
        listed = {info.name: info for info in lab.kernel.controls()}
        info = listed["org.example.echo"]
        assert info.control_id == one.peer().control_id
        assert (info.flags, info.reg_unit) == (ControlFlag(0), None)
        assert (info.send_space, info.receive_space) == (2048, 8192)
        assert info.handlers == {"connect", "disconnect", "send", "setopt", "getopt"}
        assert info.client_count == 2
        assert [(one.unit, one.pid, one.uid) for one in info.clients] == [
            (1, os.getpid(), 0),
            (9, os.getpid(), 0),
        ]
        assert listed["org.example.static"].reg_unit == 7
        assert [one.unit for one in listed["org.example.static"].clients] == [7]
        assert listed["org.example.private"].is_privileged
        assert listed["org.example.stream"].is_stream
        assert listed["org.example.slow"].handlers == {"connect", "disconnect", "setopt", "getopt"}
        assert (listed["org.example.sized"].send_space, listed["org.example.sized"].clients) == (
            20000,
            (),
        )
        ids = [info.control_id for info in lab.kernel.controls()]
        assert ids == sorted(ids)


def check_statistics(lab):
    """Counters move as connections come, fail and go, and as queues refuse."""
    before = lab.kernel.control_statistics()
    assert before.reg_count == len(lab.model.kctl.controls)
    with lab.connected() as sock:
        symbol(sock.send, b"fail EIO")
        lab.enqueue(sock, bytes(9000))
        after = lab.kernel.control_statistics()
        assert after.pcbcount == before.pcbcount + 1
        assert after.connections == before.connections + 1
        assert after.send_fail == before.send_fail + 1
        assert after.enqueue_fail == before.enqueue_fail + 1
        assert after.enqueue_fullsock == before.enqueue_fullsock + 1
        assert after.gencnt > before.gencnt


def check_no_such_numbers(lab):
    """An address that is no pair of u32 is EINVAL, and so is an option that is no i32."""
    with closing(lab.kernel.open_control_socket()) as sock:
        for address in (ControlAddress(-1), ControlAddress(1, 1 << 32)):
            assert symbol(sock.connect, address) == "EINVAL"
    with lab.connected() as sock:
        before = len(lab.echo.calls)
        for option in (1 << 31, -(1 << 31) - 1, 1 << 32 | 1):
            assert symbol(sock.set_option, option, b"x") == "EINVAL"
            assert symbol(sock.get_option, option, 4) == "EINVAL"
            assert symbol(sock.option_size, option) == "EINVAL"
        assert symbol(sock.get_option, 1, -1) == "EINVAL"
        assert len(lab.echo.calls) == before


def served_check_slow_handler_holds_up_nobody(lab):
    """While a handler takes its time, other sockets are served, and posts and lists as well."""
    address = ControlAddress(lab.controls["org.example.slow"].control_id)
    with (
        lab.connected("org.example.slow") as slow,
        lab.connected() as other,
        ThreadPoolExecutor(1) as threads,
    ):
        lab.slow.entered.clear()
        waiting = threads.submit(slow.set_option, 1, b"x")
        assert lab.slow.entered.wait(TIMEOUT)
        other.send(b"meanwhile")
        assert received(other) == b"meanwhile"
        assert lab.kernel.controls()
        assert not waiting.done()
        with closing(lab.kernel.open_control_socket()) as third:
            third.connect(address)
            third.set_option(2, b"go on")
        waiting.result(TIMEOUT)
        assert slow.get_option(1, 4) == bytes(4)


def served_check_calls_on_one_socket_take_turns(lab):
    """Calls of several threads on one socket are done one after the other, none mixed up."""
    with lab.connected() as sock, ThreadPoolExecutor(4) as threads:
        sock.set_receive_space(1 << 20)

        def work(number):
            for turn in range(50):
                size = 100 * number + turn + 1
                assert sock.get_option(2, size, bytes([number]) * size) == bytes([number]) * size
                assert sock.send(bytes([number]) * size) == size
            return number

        assert list(threads.map(work, range(1, 5))) == [1, 2, 3, 4]
        messages = [received(sock) for _ in range(200)]
        assert all(len(set(message)) == 1 for message in messages)


def named(prefix):
    """Checks whose names begin with `prefix`, by what follows."""
    return {
        name.removeprefix(prefix): function
        for name, function in list(globals().items())
        if name.startswith(prefix) and inspect.isfunction(function)
    }


CHECKS = named("check_")
SERVED_CHECKS = named("served_check_")


def row_failures(serving, table):
    """Ask each row of the measured errno table; what came instead by the row's name."""
    failed = {}
    rows = [(*row, False) for row in table["ROWS"]] + [(*row, True) for row in table["NOBODY_ROWS"]]
    for name, act, expected, as_nobody in rows:
        model = SimulatedKernel()
        world = table["World"](None, model.kctl)
        with serving(model) as path:
            world.kernel = world.nobody = LAB["open_darwin"](path)
            if as_nobody:
                with LAB["shim_user"](None, 501):
                    outcome = table["outcome"](act, world)
            else:
                outcome = table["outcome"](act, world)
            world.close()
        if outcome not in {expected, same(expected)}:
            failed[name] = f"{outcome} instead of {expected}"
    return failed


if __name__ == "__main__":
    assert "kevshim" in os.environ.get("LD_PRELOAD", ""), "the preloaded library is needed"
    thread = runpy.run_path(str(HERE / "conftest.py"))["serving"]
    errnos = runpy.run_path(str(HERE / "control_errno_table.py"))
    darwin = LAB["open_darwin"], LAB["shim_user"]
    everything = LAB["failures"](
        {**CHECKS, **SERVED_CHECKS}, lambda: LAB["served_by"](thread, *darwin)
    )
    json.dump([everything, row_failures(thread, errnos)], sys.stdout)
