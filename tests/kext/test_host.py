"""What a hosted kext meets is what a kernel gives: checked with a kext that shows what it saw."""

import os
import select
import signal
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from kevmond.errors import KernelError
from kevmond.kernel.control_base import ControlAddress

PROBE = "good/probe.c"
NAME = "org.mklinux.test.probe"

SEEN = struct.Struct("<Q9I4x")
FLAGS, EOR, WHOLE, FAIL = b"\x00", b"\x02", b"\x82", b"\x40"
"""First byte of what is sent to the probe: how to enqueue the rest."""


@dataclass
class Seen:
    """What the probe's handlers saw."""

    unitinfo: int
    connects: int
    disconnects: int
    empty: int
    setopts: int
    pieces: int
    size: int
    pid: int
    uid: int
    null_values: int


def seen(client):
    """Ask the probe what it saw."""
    return Seen(*SEEN.unpack(client.get_option(1, SEEN.size)))


def space(client):
    """Ask the probe what ctl_getenqueuespace says."""
    return int.from_bytes(client.get_option(2, 8), "little")


def dead(client):
    """Wait until a client's socket is at its end."""
    readable, _, _ = select.select([client], [], [], 60)
    return bool(readable) and client.receive(100) == b""


def refused(call, *arguments):
    """Return the errno's name with which a call fails."""
    with pytest.raises(KernelError) as caught:
        call(*arguments)
    return caught.value.symbol


def test_registers_as_a_control(start, served):
    """A hosted kext's ctl_register makes a control of the served kernel, with its handlers."""
    start(PROBE)
    (control,) = [one for one in served.remote.controls() if one.name == NAME]
    assert (control.send_space, control.receive_space) == (65536, 8192)
    assert control.handlers >= {"connect", "disconnect", "send", "setopt", "getopt"}


def test_words(start, served):
    """The host obeys load, unload and stats, and says what it cannot do."""
    host = start(PROBE)
    assert host.say("load") == "already loaded"
    assert host.stats()["controls"] == 1
    assert host.say("unload") == "unloaded"
    assert host.stats() == dict.fromkeys(host.stats(), 0)
    assert host.say("unload") == "not loaded"
    assert host.say("fly") == "unknown command: fly (load, unload, stats, quit)"
    assert host.say("load") == "loaded"
    assert host.quit() == (["unloaded"], 0)
    assert NAME not in [control.name for control in served.remote.controls()]


def test_usage(builds, tmp_path):
    """Without a kernel, or with arguments that are none, it says what to do: exit code 2."""
    build = builds("plain")
    for arguments, says in [
        ([], "usage: kext-host SERVER_PATH [KEXT]"),
        ([str(tmp_path / "nobody")], "kevmond simulate --listen"),
        ([str(tmp_path / ("x" * 200))], "has at most 107 bytes"),
    ]:
        command = [str(build.program), *arguments]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ended.returncode == 2
        assert says in ended.stderr


def test_a_reload_starts_with_fresh_data(start, served):
    """A kext that was unloaded and loaded again has its initial data, and the next id."""
    host = start(PROBE)
    with_first = served.client(NAME)
    first = with_first.peer().control_id
    assert seen(with_first).connects == 1
    with_first.close()
    host.say("unload")
    host.say("load")
    again = served.client(NAME)
    assert again.peer().control_id == first
    assert seen(again).connects == 1


def test_logs_go_to_standard_error(start):
    """os_log with %{public}s and printf end up on standard error, a line each."""
    host = start(PROBE)
    host.quit()
    log = host.errors().splitlines()
    assert any(line.startswith(f"log: {NAME} has id ") for line in log)
    assert "kernel: probe: printed" in log


def test_units_and_unitinfo(start, served):
    """Units begin at 1, gaps are refilled, and each handler gets its connection's unitinfo."""
    start(PROBE)
    first, second = served.client(NAME), served.client(NAME)
    assert [client.peer().unit for client in (first, second)] == [1, 2]
    first.close()
    assert served.client(NAME).peer().unit == 1
    assert seen(second).unitinfo == 0xC0DE0001
    assert second.send(EOR + b"x") == 2


def test_caller_is_the_client(start, served):
    """proc_selfpid, proc_selfname and kauth_cred_get tell of the client whose call runs."""
    start(PROBE)
    client = served.client(NAME, uid=501)
    client.send(b"")
    assert (seen(client).pid, seen(client).uid) == (os.getpid(), 501)
    assert client.get_option(7, 32) == Path("/proc/self/comm").read_bytes().rstrip(b"\n")


def test_refused_connect_calls_disconnect(start, served):
    """A connect handler's errno reaches the client, and disconnect runs with its unitinfo."""
    start(PROBE)
    watcher = served.client(NAME)
    assert refused(served.client, NAME, 13) == "ECONNREFUSED"
    assert seen(watcher).connects == 2
    assert seen(watcher).disconnects == 1
    assert seen(watcher).unitinfo == 0xC0DE000D


def test_connect_errors(start, served):
    """The kernel refuses before it asks the kext: EBUSY for a unit taken, EPROTOTYPE, ENOENT."""
    start(PROBE)
    watcher = served.client(NAME, 5)
    assert refused(served.client, NAME, 5) == "EBUSY"
    assert refused(lambda: served.client(NAME, stream=True)) == "EPROTOTYPE"
    opened = served.remote.open_control_socket()
    assert refused(opened.connect, ControlAddress(99999)) == "ENOENT"
    opened.close()
    assert seen(watcher).connects == 1


@pytest.mark.parametrize(
    ("size", "piece", "pieces"),
    [(0, None, 1), (2048, None, 1), (4096, None, 1), (8000, None, 2), (20000, None, 5), (9, 4, 3)],
)
def test_chains(start, served, size, piece, pieces):
    """A message comes in pieces of 4096 bytes, or as small as KEXT_HOST_PIECE says."""
    host = start(PROBE, **({"KEXT_HOST_PIECE": str(piece)} if piece else {}))
    client = served.client(NAME)
    client.set_receive_space(65536)
    client.send((EOR + bytes(size))[:size])
    assert (seen(client).pieces, seen(client).size) == (pieces, size)
    stats = host.stats()
    assert (stats["mbufs"], stats["mbufs_made"]) == (0, pieces)


def test_empty_send_reaches_the_handler(start, served):
    """send() of no bytes calls the handler, with an empty packet."""
    start(PROBE)
    client = served.client(NAME)
    assert client.send(b"") == 0
    assert seen(client).empty == 1


def test_sending_too_much(start, served):
    """A datagram longer than ctl_sendsize is EMSGSIZE and no handler sees it."""
    start(PROBE)
    client = served.client(NAME)
    assert refused(client.send, EOR + bytes(65536)) == "EMSGSIZE"
    assert seen(client).size == 0


def test_errors_of_handlers_pass_unchanged(start, served):
    """What a handler returns is what the client gets, a number without a name too."""
    start(PROBE)
    client = served.client(NAME)
    assert refused(client.send, FAIL) == "EIO"
    assert refused(client.set_option, 6, None) == "errno 9999"
    assert refused(client.get_option, 99, 4) == "ENOPROTOOPT"
    assert refused(client.get_option, 1, 4) == "EMSGSIZE"


def test_merging_without_eor(start, served):
    """Without CTL_DATA_EOR what is enqueued joins what follows; with it, one recv gets one."""
    start(PROBE)
    client = served.client(NAME)
    client.send(FLAGS + b"first")
    client.send(FLAGS + b"second!")
    assert client.receive(100) == b"firstsecond!"
    client.send(EOR + b"first")
    client.send(EOR + b"second!")
    assert [client.receive(100), client.receive(100)] == [b"first", b"second!"]


def test_space_and_enobufs(start, served):
    """A full queue gives the kext ENOBUFS; ctl_getenqueuespace tells how much is left."""
    start(PROBE)
    client = served.client(NAME)
    assert space(client) == 8192
    client.send(EOR + bytes(4000))
    client.send(EOR + bytes(4000))
    assert space(client) == 192
    assert refused(client.send, EOR + bytes(193)) == "ENOBUFS"
    assert len(client.receive(8192)) == 4000
    client.send(EOR + bytes(4000))


def test_enqueueing_an_mbuf(start, served):
    """ctl_enqueuembuf takes the packet it was given, and frees it only if there was room."""
    host = start(PROBE)
    client = served.client(NAME)
    client.send(WHOLE + bytes(8000))
    assert client.next_size() == 8001
    assert refused(client.send, WHOLE + bytes(8000)) == "ENOBUFS"
    assert client.receive(65536) == WHOLE + bytes(8000)
    assert host.stats()["mbufs"] == 0


def test_enomem_once(start, served):
    """With KEXT_HOST_ENOMEM the first enqueue over 4096 bytes fails, as where no cluster is."""
    start(PROBE, KEXT_HOST_ENOMEM="1")
    client = served.client(NAME)
    client.send(EOR + bytes(4096))
    client.receive(8192)
    assert refused(client.send, EOR + bytes(9000)) == "ENOBUFS"
    assert refused(client.send, EOR + bytes(5000)) == "ENOMEM"
    client.send(EOR + bytes(5000))


def test_options(start, served):
    """Setting nothing gives NULL; getting shows the buffer first, or may tell a length alone."""
    start(PROBE)
    client = served.client(NAME)
    client.set_option(0, None)
    client.set_option(0, b"")
    client.set_option(0, bytes(200_000))
    assert (seen(client).setopts, seen(client).null_values) == (3, 2)
    assert client.get_option(4, 6, b"abc") == b"\0\0\0cba"
    assert client.get_option(4, 65536, b"a" + bytes(65535)) == bytes(65535) + b"a"
    assert client.option_size(3) == 10


def test_kernel_events(start, served):
    """kev_msg_post reaches event sockets with the kext's vendor code, its vectors joined."""
    start(PROBE)
    client = served.client(NAME)
    vendor = served.remote.vendor_code_find(NAME)
    events = served.events(vendor)
    client.set_option(5, b"one two")
    buffer = bytearray(1024)
    size = events.recv_into(buffer)
    _, got_vendor, *numbers, _, code = struct.unpack_from("<6I", buffer)
    assert (got_vendor, *numbers, code) == (vendor, 7, 8, 9)
    assert buffer[24:size] == b"one two"
    assert refused(client.set_option, 5, bytes(201)) == "EMSGSIZE"


def test_unload_is_refused_while_connected(start, served):
    """ctl_deregister gives EBUSY while a client is there, and nothing changes by that."""
    host = start(PROBE)
    client = served.client(NAME)
    assert host.say("unload") == "unload refused: KERN_FAILURE"
    client.send(EOR + b"still here")
    assert client.receive(100) == b"still here"
    client.close()
    assert host.say("unload") == "unloaded"


def test_quitting_with_clients(start, served):
    """A host that has to go while clients are connected says so, and they find a dead socket."""
    host = start(PROBE)
    client = served.client(NAME)
    lines, code = host.quit()
    assert (lines[0], code) == ("unload refused: KERN_FAILURE", 3)
    assert lines[1].startswith("leaked ")
    assert dead(client)
    assert refused(client.peer) == "EINVAL"
    assert NAME not in [control.name for control in served.remote.controls()]


def test_crash_of_a_host(start, served):
    """A host that dies takes its control along; the kernel and everybody else go on."""
    host = start(PROBE)
    client = served.client(NAME)
    host.process.send_signal(signal.SIGKILL)
    assert host.wait() == ([], -signal.SIGKILL)
    assert dead(client)
    start(PROBE)
    assert served.client(NAME).peer().unit == 1


def test_end_of_the_kernel(start, served):
    """A host whose kernel is rebooted ends at once: exit code 4."""
    host = start(PROBE)
    served.remote.reboot()
    assert host.wait() == ([], 4)
    assert "the simulated kernel went away" in host.errors()


def test_two_hosts(start, served):
    """Two kexts at once; the second of the same name is refused."""
    start(PROBE)
    second = start(PROBE, says="load refused: KERN_FAILURE")
    assert second.quit() == ([], 1)
    assert served.client(NAME).peer().unit == 1
