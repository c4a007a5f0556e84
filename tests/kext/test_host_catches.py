"""Every way in which a kext goes wrong that a kernel would die of, or leak by, fails loudly."""

import contextlib
import signal
import threading

import pytest

from kevmond.errors import KernelError

NAME = "org.mklinux.test.bad"
SANITIZER_EXIT = 99


def provoke(call, *arguments):
    """Do what kills the kext's host; the client's call fails with it."""
    with pytest.raises(KernelError):
        call(*arguments)


def panicked(host):
    """Return the last line of a host that has panicked."""
    lines, code = host.wait()
    assert code == -signal.SIGABRT, (lines, host.errors())
    return lines[-1]


def reported(host):
    """Return what a sanitizer wrote when it ended the host."""
    _, code = host.wait()
    assert code == SANITIZER_EXIT, host.errors()
    return host.errors()


def test_leaked_mbufs(start, served):
    """Packets that nobody freed are told when the kext is gone, and the host fails."""
    host = start("bad/leak.c")
    client = served.client(NAME)
    client.send(bytes(5000))
    client.send(b"x")
    assert host.stats()["mbufs"] == 3
    client.close()
    lines, code = host.quit()
    assert lines[0] == "unloaded"
    assert lines[1].startswith("leaked mbufs=3 ")
    assert code == 3


def test_leaked_locks(start):
    """A lock and a group that nobody freed are told."""
    lines, code = start("bad/misuse.c").quit()
    assert "locks=1 groups=1" in lines[1]
    assert code == 3


def test_a_control_left_behind(start, served):
    """A control that outlives its kext is told, and whoever connects then panics the kernel."""
    host = start("bad/left_behind.c")
    assert host.say("unload") == "unloaded"
    assert "controls=1" in host.line()
    provoke(served.client, NAME)
    assert panicked(host) == (
        "panic: a handler is called whose kext was unloaded without ctl_deregister"
    )


@pytest.mark.parametrize(
    ("way", "says"),
    [
        (1, "lck_mtx_unlock of a lock that this thread does not hold"),
        (2, "lck_mtx_lock of a lock that this thread holds already"),
        (3, "ctl_setopt returned holding a lock"),
        (4, "lck_mtx_lock of a lock that was freed"),
        (5, "lck_mtx_free of a lock that is held"),
        (6, "lck_mtx_free of a lock that was freed"),
        (7, "lck_grp_free of a group that has locks"),
        (8, "lck_mtx_lock of no lock"),
        (9, "H3: ctl_enqueuedata with a ref that is nobody's"),
        (10, "H11: kev_msg: vector 2 lies beyond the empty vector 1 and is lost"),
        (11, "H11: kev_msg: vector 0 has 4 bytes and no data"),
    ],
)
def test_panics(start, served, way, says):
    """Misuse of locks, refs and event vectors is a panic that names it."""
    host = start("bad/misuse.c")
    provoke(served.client(NAME).set_option, way, None)
    assert panicked(host) == f"panic: {says}"


def test_freeing_twice(start, served):
    """A packet freed twice is a panic, without any sanitizer."""
    host = start("bad/misuse.c")
    provoke(served.client(NAME).send, b"x")
    assert panicked(host) == "panic: mbuf_freem of an mbuf that was freed"


def test_getopt_beyond_the_buffer(start, served):
    """A getopt handler that claims more than the buffer panics, its errno notwithstanding."""
    host = start("bad/misuse.c")
    provoke(served.client(NAME).get_option, 1, 4)
    assert panicked(host) == "panic: ctl_getopt of option 1 returned 5 bytes for a buffer of 4"


def test_stale_ref(start):
    """A call with a ref after ctl_deregister is a panic; with NULL it is EINVAL."""
    host = start("bad/stale_ref.c")
    assert host.say("unload") == ("panic: H3: ctl_getenqueuespace with a ref that is deregistered")
    assert host.wait()[1] == -signal.SIGABRT


def test_poison_behind_the_registration(start):
    """Anything but zeros where the kernel reads ctl_bind is a panic."""
    host = start("bad/poison.c", says=None)
    assert panicked(host) == (
        "panic: H1: what lies 176 bytes into struct kern_ctl_reg is 0x3, and the kernel takes "
        "it for ctl_bind"
    )


def test_short_registration(start):
    """Under AddressSanitizer a structure without room behind it is a panic, whatever is there."""
    host = start("bad/short_registration.c", variant="asan", says=None)
    assert panicked(host) == (
        "panic: H1: the kernel reads 192 bytes of struct kern_ctl_reg, and only 160 are there"
    )


def test_failed_start(start):
    """A start function that fails is told, with what it left behind; the exit code is not 0."""
    host = start("bad/no_connect.c", says="load refused: KERN_FAILURE")
    lines, code = host.wait()
    assert "groups=1" in lines[0]
    assert code == 3


def test_no_kext(start):
    """A file without kmod_info cannot be loaded: exit code 1."""
    host = start("bad/no_kext.c", says="not loadable: see standard error")
    assert host.wait() == ([], 1)
    assert "KMOD_EXPLICIT_DECL" in host.errors()


def test_no_function_of_kernels(start, build_error):
    """A kext that calls strcpy, which not every kernel exports, does not compile."""
    with pytest.raises(build_error, match="strcpy"):
        start("bad/strcpy.c")


def test_over_read_of_a_chain(start, served):
    """Whoever takes a chain for one piece is caught by AddressSanitizer at the first byte."""
    host = start("bad/over_read.c", variant="asan", KEXT_HOST_PIECE="16")
    client = served.client(NAME)
    client.send(bytes(16))
    provoke(client.send, bytes(17))
    assert "heap-buffer-overflow" in reported(host)


@pytest.mark.parametrize("option", [1, 2])
def test_over_read_of_a_value(start, served, option):
    """Reading beyond an option's value, or enqueueing beyond one's own array, is caught."""
    host = start("bad/over_read.c", variant="asan")
    client = served.client(NAME)
    client.set_option(1, bytes(4))
    provoke(client.set_option, option, b"x")
    assert "buffer-overflow" in reported(host)


def test_over_write_of_a_buffer(start, served):
    """Writing beyond the buffer of getsockopt is caught."""
    host = start("bad/over_read.c", variant="asan")
    client = served.client(NAME)
    assert client.get_option(1, 4) == b"\1\0\0\0"
    provoke(client.get_option, 1, 3)
    assert "heap-buffer-overflow" in reported(host)


def test_six_vectors(start, served):
    """A sixth vector of a kernel event, which is beyond the structure, is caught."""
    host = start("bad/misuse.c", variant="asan")
    provoke(served.client(NAME).set_option, 12, None)
    assert "index 5 out of bounds" in reported(host)


def test_race(start, served):
    """Two clients in a handler that changes shared data without a lock: ThreadSanitizer tells."""
    host = start("bad/race.c", variant="tsan")
    clients = [served.client(NAME) for _ in range(2)]

    def send(client):
        with contextlib.suppress(KernelError):
            client.send(b"x")

    threads = [threading.Thread(target=send, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if host.process.poll() is None:
        host.quit()
    assert "data race" in host.errors()
    assert host.process.wait(60) == SANITIZER_EXIT
