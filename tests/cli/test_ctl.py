"""`kevmond ctl`: controls from the command line."""

import asyncio
import fcntl
import json
import os
import runpy
import signal
import subprocess
import sys
import termios
import threading
from pathlib import Path

import pytest

from kevmond.cli import ctl_echo, ctl_packets
from kevmond.errors import KernelError
from kevmond.kernel.control_base import ControlAddress
from kevmond.kernel.simulated.model import SimulatedKernel
from kevmond.kernel.simulated.served import KernelServer

CAPTURE = Path(__file__).parents[1] / "captures" / "xnu-7195-events.jsonl"
SAMPLE_CONTROL = runpy.run_path(str(Path(__file__).parent / "sample_control.py"))["SampleControl"]
SAMPLE = "org.mklinux.nke.foo"
UTUN = "com.apple.net.utun_control"
NSTAT = "com.apple.network.statistics"


class Hanging:
    """A kernel of which some handlers never answer; its calls are made in threads."""

    name = "simulated"

    def __init__(self, *calls):
        self.kernel = SimulatedKernel()
        SAMPLE_CONTROL.register(self.kernel)
        self.calls = calls
        self.go_on = threading.Event()
        self.sockets = []

    def controls(self):
        return self.kernel.controls()

    def open_control_socket(self, *, stream=False):
        self.sockets.append(self.kernel.open_control_socket(stream=stream))
        return HangingSocket(self, self.sockets[-1])

    def end(self):
        """Let all handlers answer; nobody waits any more."""
        self.go_on.set()
        for thread in threading.enumerate():
            if thread.name.startswith("control "):
                thread.join(20)
        for socket in self.sockets:
            socket.close()


class HangingSocket:
    """A socket of it."""

    def __init__(self, hanging, socket):
        self.hanging = hanging
        self.socket = socket

    def __getattr__(self, name):
        if name in self.hanging.calls:
            return lambda *args: self.hanging.go_on.wait(20)
        return getattr(self.socket, name)


@pytest.fixture
def hanging(monkeypatch):
    """Have the command line open a kernel of which these calls hang."""
    made = []

    def hang(*calls):
        made.append(Hanging(*calls))
        monkeypatch.setattr("kevmond.kernel.select.open_kernel", lambda spec: made[-1])
        monkeypatch.setattr("kevmond.cli.ctl_common._NOTICE_S", 0.01)
        monkeypatch.setattr("kevmond.cli.ctl_common._CLOSE_S", 0.01)

    yield hang
    for one in made:
        one.end()


@pytest.fixture
def kernel(monkeypatch):
    """Boot the kernel that the command line opens."""
    kernel = SimulatedKernel()
    monkeypatch.setattr("kevmond.kernel.select.open_kernel", lambda spec: kernel)
    return kernel


@pytest.fixture
def control(kernel):
    """Register a control that speaks the sample's protocol."""
    return SAMPLE_CONTROL.register(kernel)


def lines(result):
    """JSON lines that were printed."""
    return [json.loads(line) for line in result.out.splitlines()]


class TestList:
    def test_every_control_is_listed(self, kevmond):
        """Without a Mac the embedded kernel has Apple's ten."""
        result = kevmond("ctl", "list")
        rows = [line.split() for line in result.out.splitlines()]
        assert result.code == 0
        assert len(rows) == 11
        assert rows[5][:5] == ["5", UTUN, "dgram", "root", "524288"]
        assert rows[9][2] == "stream"

    def test_json_tells_all_of_each(self, kevmond, kernel):
        """Flags by name, functions, and who is connected."""
        socket = kernel.open_control_socket()
        socket.connect(ControlAddress(5))
        facts = {one["name"]: one for one in lines(kevmond("ctl", "list", "--json"))}
        assert facts[UTUN]["flag_names"] == ["privileged", "extended", "setup"]
        (client,) = facts[UTUN]["clients"]
        assert (client["unit"], client["uid"], facts[UTUN]["client_count"]) == (1, 0, 1)
        assert client["process"] is not None
        assert facts["com.apple.netsrc"]["handlers"] == ["connect", "send"]

    def test_a_static_control_shows_its_unit(self, kevmond, kernel):
        """As it is to be written to connect to it."""
        from kevmond.kernel.control_abi import ControlFlag
        from kevmond.kernel.simulated.kctl import Registration

        wanted = Registration(b"org.x", ControlFlag.REG_ID_UNIT, 19787, 7)
        kernel.kctl.register(wanted, SAMPLE_CONTROL(kernel.kctl))
        assert "19787:7  org.x" in kevmond("ctl", "list").out
        assert "7 only (static)" in kevmond("ctl", "info", "19787:7").out
        assert kevmond("ctl", "info", "19787:8").code == 69

    def test_a_recording_has_no_controls(self, kevmond):
        """One line says which kernels have."""
        result = kevmond("ctl", "list", "--kernel", f"replay:{CAPTURE}")
        assert (result.code, "use --kernel darwin" in result.err) == (69, True)


class TestInfo:
    def test_all_about_one(self, kevmond, kernel):
        """Who is connected is told with its process."""
        socket = kernel.open_control_socket()
        socket.connect(ControlAddress(5, 3))
        result = kevmond("ctl", "info", UTUN)
        assert result.code == 0
        assert "only root" in result.out
        assert "unit 3 by " in result.out
        assert "0x29 privileged extended setup" in result.out

    def test_by_number(self, kevmond):
        """ID:UNIT finds it too; a dynamic one has any unit."""
        (facts,) = lines(kevmond("ctl", "info", "5:0", "--json"))
        assert facts["name"] == UTUN

    def test_a_typo_is_told_with_the_nearest_names(self, kevmond):
        """And with what else may be the matter."""
        result = kevmond("ctl", "info", "com.apple.netsource")
        assert (result.code, result.out) == (69, "")
        assert "ENOENT" in result.err
        assert "kevmond ctl list" in result.err
        assert "did you mean com.apple.netsrc" in result.err

    @pytest.mark.parametrize("name", ["", "x" * 96, "99999999999:1"])
    def test_what_no_control_is_called_is_refused(self, kevmond, name):
        """Before anything is opened."""
        result = kevmond("ctl", "info", name)
        assert (result.code, "not a control" in result.err) == (2, True)


class TestOptions:
    def test_text_is_shown_as_text(self, kevmond):
        """And as hex."""
        assert kevmond("ctl", "get", UTUN, "2").out == '"utun0"  7574756e 3000\n'

    def test_a_number_that_wants_4_bytes_gets_them(self, kevmond):
        """The size is found where the control says EMSGSIZE."""
        assert kevmond("ctl", "get", UTUN, "16").out.startswith("1  ")
        assert kevmond("ctl", "get", UTUN, "0x10", "--size", "4").out.startswith("1  ")
        (facts,) = lines(kevmond("ctl", "get", UTUN, "16", "--json"))
        assert facts == {
            "control": UTUN,
            "option": 16,
            "length": 4,
            "hex": "01000000",
            "u32": 1,
        }

    def test_a_given_size_is_not_changed(self, kevmond):
        """EMSGSIZE is then what is told."""
        result = kevmond("ctl", "get", UTUN, "16", "--size", "8")
        assert (result.code, "EMSGSIZE" in result.err) == (69, True)

    def test_the_sample_s_options_have_names(self, kevmond, control):
        """Their structures are taken apart."""
        assert "version      1.2.3" in kevmond("ctl", "get", SAMPLE, "version").out
        (facts,) = lines(kevmond("ctl", "get", SAMPLE, "statistics", "--json"))
        assert (facts["value"]["connects"], facts["value"]["errors"]) == (0, 10)
        assert kevmond("ctl", "set", SAMPLE, "command1").code == 0
        assert kevmond("ctl", "set", SAMPLE, "command2", "42").code == 0
        assert kevmond("ctl", "set", SAMPLE, "2", "--", "-1").code == 0
        assert kevmond("ctl", "set", SAMPLE, "2", "-1", "--json").code == 0
        negative = (2, b"\xff" * 4)
        assert control.commands == [(1, None), (2, b"\x2a\0\0\0"), negative, negative]
        assert kevmond("ctl", "get", SAMPLE, "command1").out == "4  04000000\n"

    def test_another_name_may_speak_it(self, kevmond, kernel):
        """--protocol says so."""
        SAMPLE_CONTROL.register(kernel, "org.example.other")
        assert kevmond("ctl", "get", "org.example.other", "version").code == 2
        result = kevmond("ctl", "get", "org.example.other", "version", "--protocol", "sample")
        assert "1.2.3" in result.out
        assert kevmond("ctl", "get", SAMPLE, "version", "--protocol", "raw").code == 2

    @pytest.mark.parametrize(
        ("value", "length"), [("text:en0", 3), ("hex:01 02", 2), ("7", 4), ("text:", 0)]
    )
    def test_values_of_every_kind(self, kevmond, monkeypatch, value, length):
        """What was set is told."""
        from kevmond.control.channel import ControlChannel

        given = []

        async def set_option(self, option, value=None):
            given.append(value)

        monkeypatch.setattr(ControlChannel, "set_option", set_option)
        (facts,) = lines(kevmond("ctl", "set", UTUN, "15", value, "--json"))
        assert (facts["set"]["length"], len(given[0])) == (length, length)

    @pytest.mark.parametrize(
        ("args", "code", "why"),
        [
            (["get", UTUN, "77"], 69, "ENOPROTOOPT"),
            (["get", "com.apple.netsrc", "1"], 69, "ENOTSUP"),
            (["get", UTUN, "name"], 2, "give its number"),
            (["get", SAMPLE, "versoin"], 2, "did you mean version"),
            (["get", UTUN, "99999999999"], 2, "32 bits"),
            (["set", UTUN, "16", "0"], 69, "EINVAL"),
            (["set", UTUN, "16", "many"], 2, "neither a number"),
            (["set", UTUN, "16", "4294967296"], 2, "neither a number"),
            (["set", UTUN, "16", "hex:0"], 2, "neither a number"),
            (["set", UTUN, "16", "0", "--jsn"], 2, "unexpected extra argument"),
            (["get", UTUN, "16", "--timeout", "0"], 2, "too little"),
            (["get", "org.example", "1"], 69, "is its kernel extension loaded?"),
            (["get", "4:0", "1", "--kernel", "sim"], 78, "there is no kernel 'sim'"),
        ],
    )
    def test_errors_are_one_line(self, kevmond, args, code, why):
        """What failed, the errno, what to do; no traceback."""
        result = kevmond("ctl", *args)
        assert (result.code, why in result.err) == (code, True), result.err
        assert "Traceback" not in result.err

    def test_root_is_asked_for(self, kevmond, kernel):
        """EPERM says sudo."""
        kernel.uid = 501
        result = kevmond("ctl", "get", UTUN, "2")
        assert result.code == 69
        assert "EPERM" in result.err
        assert "sudo" in result.err

    def test_the_second_client_of_a_stream_is_told_of_the_first(self, kevmond, kernel):
        """EALREADY is a failure, not something in progress."""
        first = kernel.open_control_socket(stream=True)
        first.connect(ControlAddress(9))
        result = kevmond("ctl", "watch", "com.apple.network.tcp_ccdebug", "--timeout", "5s")
        assert (result.code, "EALREADY" in result.err) == (69, True)
        assert "one client at a time" in result.err


@pytest.mark.parametrize(
    ("calls", "args", "call"),
    [
        (["connect"], ["get", SAMPLE, "3", "--timeout", "0.05"], "connect"),
        (["connect"], ["set", SAMPLE, "1", "--timeout", "0.05"], "connect"),
        (["connect"], ["send", SAMPLE, "x", "--timeout", "0.05"], "connect"),
        (["connect"], ["watch", SAMPLE, "--timeout", "0.05"], "connect"),
        (["option_size"], ["get", SAMPLE, "3", "--timeout", "0.05"], "getsockopt 3"),
        (["set_option", "close"], ["set", SAMPLE, "1", "--timeout", "0.05"], "setsockopt 1"),
        (["send"], ["send", SAMPLE, "x", "--timeout", "0.05"], "send"),
        (["send"], ["watch", SAMPLE, "--timeout", "0.05"], "send"),
    ],
)
def test_a_handler_that_hangs_is_not_waited_for_for_ever(kevmond, hanging, calls, args, call):
    """It is said that it is waited for, and then what did not answer."""
    hanging(*calls)
    result = kevmond("ctl", *args)
    assert (result.code, result.out) == (69, "")
    waiting, told = result.err.splitlines()[-2:]
    assert waiting == f"waiting for {SAMPLE}'s handler"
    assert f"{call}: ETIMEDOUT" in told
    assert "its handler" in told


class TestMessages:
    def test_a_message_is_sent_and_answered(self, kevmond):
        """Netsrc tells the source for 127.0.0.1."""
        result = kevmond(
            *("ctl", "send", "com.apple.netsrc", "--pad", "36", "--wait", "0.05s", "--json"),
            *("--hex", "0200000000000000100200007f000001"),
        )
        (facts,) = lines(result)
        assert (facts["length"], facts["hex"][8:16]) == (56, "7f000001")

    def test_a_file_is_a_message(self, kevmond, tmp_path):
        """Its bytes, as they are."""
        (tmp_path / "m").write_bytes(bytes(range(16, 36)))
        result = kevmond("ctl", "send", NSTAT, "--file", tmp_path / "m", "--wait", "0.05s")
        assert "sent 20 bytes" in result.err
        assert "44 bytes" in result.out

    def test_standard_input_is_a_message(self):
        """Where nothing else is given."""
        done = subprocess.run(
            [sys.executable, "-m", "kevmond", "ctl", "send", NSTAT, "--wait", "0.05s", "--json"],
            input=bytes(16),
            capture_output=True,
            check=True,
            timeout=60,
        )
        assert json.loads(done.stdout)["length"] == 40

    def test_the_sample_echoes_what_is_sent(self, kevmond, control):
        """Its hello is passed over."""
        (facts,) = lines(kevmond("ctl", "send", SAMPLE, "hello", "--json"))
        assert (facts["type"], facts["reply_to"]) == ("echo", 1)
        assert facts["payload"]["text"] == "hello"
        assert '"hello"' in kevmond("ctl", "send", SAMPLE, "hello").out

    def test_what_a_control_says_is_watched(self, kevmond, control):
        """The sample's messages by name, with what was lost."""
        result = kevmond("ctl", "watch", SAMPLE, "--count", "3")
        hello, answer, notice = result.out.splitlines()
        assert "hello" in hello
        assert "version=1.2.3" in hello
        assert "result=ok detail=7" in answer
        assert "notice=client-connected unit=1 pid=42" in notice
        assert "3 lost so far" in notice
        facts = lines(kevmond("ctl", "watch", SAMPLE, "--count", "3", "--json"))
        assert [one["type"] for one in facts] == ["hello", "result", "notice"]
        assert facts[2]["fields"]["pid"] == 42

    def test_watching_ends_with_a_goodbye(self, kevmond, kernel):
        """It is shown, the control is let go of, and that is said."""
        SAMPLE_CONTROL.register(kernel, leave_after=0)
        result = kevmond("ctl", "watch", SAMPLE)
        assert result.code == 0
        assert "reason=unloading" in result.out.splitlines()[-1]
        assert result.err.splitlines()[-1] == (
            f"{SAMPLE} said goodbye (unloading), and is let go of"
        )
        assert kernel.kctl.pcbs == set()

    def test_raw_messages_are_shown_as_they_are(self, kevmond, control):
        """Length, and the first bytes of it."""
        result = kevmond("ctl", "watch", SAMPLE, "--protocol", "raw", "--count", "1")
        assert "   64 bytes  " in result.out
        assert "4b464f4f" in result.out

    def test_what_is_no_message_of_the_sample_is_said(self, kevmond, kernel):
        """The line tells why."""
        result = kevmond(
            *("ctl", "send", NSTAT, "x" * 16, "--protocol", "sample", "--wait", "0.2s")
        )
        assert result.code == 0
        assert "its header says" in result.out

    def test_an_answer_that_does_not_come_is_a_failure(self, kevmond, kernel):
        """The message says how long it was waited for."""
        SAMPLE_CONTROL.register(kernel, lose=1)
        result = kevmond("ctl", "send", SAMPLE, "hello", "--wait", "10ms")
        assert (result.code, result.out) == (1, "")
        assert "no answer within 0.01 s" in result.err

    @pytest.mark.parametrize(
        ("args", "code", "why"),
        [
            (["send", "com.apple.netsrc", "x"], 69, "EINVAL"),
            (["send", NSTAT, "x" * 2049], 69, "EMSGSIZE"),
            (["send", "com.apple.network.tcp_ccdebug", "x"], 69, "ENOTSUP"),
            (["send", NSTAT, "x", "--hex", "00"], 2, "one of DATA"),
            (["send", NSTAT, "--hex", "0g"], 2, "--hex"),
            (["send", NSTAT, "--file", "/none"], 2, "does not exist"),
            (["watch", NSTAT, "--timeout", "soon"], 2, "not a duration"),
        ],
    )
    def test_errors_are_one_line(self, kevmond, args, code, why):
        """What failed, the errno, what to do; no traceback."""
        result = kevmond("ctl", *args)
        assert (result.code, why in result.err) == (code, True), result.err
        assert "Traceback" not in result.err

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    async def test_a_signal_ends_watching(self, tmp_path, number):
        """Exit code 0, and the control is let go of."""
        kernel = SimulatedKernel()
        control = SAMPLE_CONTROL.register(kernel)
        async with KernelServer(kernel, tmp_path / "k"):
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "kevmond", "ctl", "watch", SAMPLE, "--json"),
                *("--kernel", f"simulated:{tmp_path / 'k'}"),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            async with asyncio.timeout(30):
                for expected in ("hello", "result", "notice"):
                    assert json.loads(await process.stdout.readline())["type"] == expected
                process.send_signal(number)
                _, told = await process.communicate()
                while any(one.pcbs for one in kernel.kctl.controls):  # noqa: ASYNC110 - a kernel does not tell
                    await asyncio.sleep(0.01)
        assert (process.returncode, told) == (0, b"")
        assert control.sequence == 3

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    async def test_a_signal_ends_watching_for_a_reader_that_hangs(self, tmp_path, number):
        """Though the loop hangs in writing to it."""
        kernel = SimulatedKernel()
        control = SAMPLE_CONTROL.register(kernel)
        reading, writing = os.pipe()
        async with KernelServer(kernel, tmp_path / "k"):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "kevmond", "ctl", "watch", SAMPLE, "--json"),
                *("--kernel", f"simulated:{tmp_path / 'k'}"),
                stdout=writing,
                stderr=subprocess.DEVNULL,
            )

            def waiting():
                return int.from_bytes(fcntl.ioctl(reading, termios.FIONREAD, bytes(4)), "little")

            async with asyncio.timeout(30):
                while not waiting():  # noqa: ASYNC110 - a pipe does not tell
                    await asyncio.sleep(0.01)
                (pcb,) = kernel.kctl.pcbs
                for _ in range(2000):  # far more than a pipe takes
                    control.say(pcb, 7, bytes(20))
                before = -1
                while before != (before := waiting()):  # noqa: ASYNC110 - until it takes no more
                    await asyncio.sleep(0.1)
                process.send_signal(number)
                await process.wait()
        os.close(reading)
        os.close(writing)
        assert process.returncode == -number

    @pytest.mark.parametrize("command", ["watch", "echo"])
    async def test_ctrl_c_while_connecting(self, tmp_path, command):
        """Exit code 130: it was not what was asked for."""
        kernel = SimulatedKernel()
        control = SAMPLE_CONTROL.register(kernel)
        entered = asyncio.Event()

        async def hang(pcb, address):
            entered.set()
            await asyncio.Event().wait()

        control.connect, control.suspends = hang, True
        async with KernelServer(kernel, tmp_path / "k"):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "kevmond", "ctl", command, SAMPLE),
                *("--kernel", f"simulated:{tmp_path / 'k'}"),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            async with asyncio.timeout(30):
                await entered.wait()
                process.send_signal(signal.SIGINT)
                out, _ = await process.communicate()
        assert (process.returncode, out) == (130, b"")


class TestEcho:
    def test_round_trips_are_told_one_by_one(self, kevmond):
        """And summed up."""
        result = kevmond("ctl", "echo", NSTAT, "--count", "3", "--interval", "1ms")
        told = result.out.splitlines()
        assert result.code == 0
        assert [line.split(" time=")[0] for line in told[:3]] == [
            f"64 bytes back from {NSTAT}: seq={n}" for n in (1, 2, 3)
        ]
        assert told[4] == "3 sent, 3 came back, 0 lost (0.0%), 0 out of order"
        assert told[5].startswith("round trip min/avg/median/p99/max = ")

    def test_the_summary_is_all_there_is_without_a_pause(self, kevmond):
        """Of any size that the control takes."""
        result = kevmond("ctl", "echo", NSTAT, "--count", "50", "--interval", "0", "--size", "2032")
        assert (result.code, len(result.out.splitlines())) == (0, 3)

    def test_json_is_the_summary(self, kevmond, control):
        """Times in microseconds."""
        args = ("--count", "20", "--interval", "0", "--size", "0", "--json")
        (facts,) = lines(kevmond("ctl", "echo", SAMPLE, *args))
        assert (facts["sent"], facts["received"], facts["lost"]) == (20, 20, 0)
        assert facts["min_us"] <= facts["median_us"] <= facts["p99_us"] <= facts["max_us"]

    def test_what_is_lost_or_damaged_is_counted(self, kevmond, kernel):
        """And is a failure."""
        SAMPLE_CONTROL.register(kernel, lose=4, damage=3)
        args = ("--count", "8", "--interval", "0", "--timeout", "20ms")
        result = kevmond("ctl", "echo", SAMPLE, *args)
        assert result.code == 1
        assert "8 sent, 6 came back, 2 lost (25.0%)" in result.out
        assert "2 came back damaged" in result.out

    @pytest.mark.parametrize("interval", ["0", "1h"])
    def test_a_goodbye_ends_it(self, kevmond, kernel, interval):
        """With the sum of what was; the control is let go of."""
        SAMPLE_CONTROL.register(kernel, leave_after=3 if interval == "0" else 1)
        result = kevmond("ctl", "echo", SAMPLE, "--count", "0", "--interval", interval)
        assert "came back, 0 lost" in result.out
        assert "said goodbye (unloading)" in result.err
        assert kernel.kctl.pcbs == set()

    def test_what_a_handler_does_not_take_is_lost(self, kevmond, hanging):
        """A handler that hangs is no end of the command."""
        hanging("send")
        args = ("--count", "2", "--interval", "1ms", "--timeout", "20ms")
        result = kevmond("ctl", "echo", SAMPLE, *args)
        assert result.code == 1
        assert "2 sent, 0 came back, 2 lost" in result.out

    def test_the_summary_is_told_with_an_error(self, kevmond, kernel):
        """What was found out until then is not lost."""
        control = SAMPLE_CONTROL.register(kernel)
        send = control.send

        async def refuse(pcb, data, flags):
            if control.echoes == 2:
                raise KernelError("send", "EPIPE")
            await send(pcb, data, flags)

        control.send = refuse
        result = kevmond("ctl", "echo", SAMPLE, "--interval", "0")
        assert (result.code, "EPIPE" in result.err) == (69, True)
        assert "3 sent, 2 came back, 1 lost" in result.out

    def test_who_does_not_speak_the_protocol_is_told_so(self, kevmond):
        """Not that some message is malformed."""
        result = kevmond("ctl", "echo", NSTAT, "--protocol", "sample")
        assert (result.code, "does not speak the sample protocol" in result.err) == (1, True)

    @pytest.mark.parametrize("timeout", ["0", "0s"])
    def test_no_time_at_all_is_refused(self, kevmond, timeout):
        """Nothing can come back within it."""
        result = kevmond("ctl", "echo", NSTAT, "--timeout", timeout)
        assert (result.code, "too little" in result.err) == (2, True)

    async def test_a_late_answer_is_out_of_order(self):
        """It is not taken for the answer to the next."""

        class Late:
            """Answers one behind."""

            def __init__(self):
                self.queue = []
                self.held = []

            async def send(self, message, **_):
                self.queue += self.held
                self.held = [message]
                if len(self.queue) == 1:
                    self.queue.append(message)

            def __aiter__(self):
                return self

            async def __anext__(self):
                if not self.queue:
                    await asyncio.Event().wait()
                return self.queue.pop(0)

        class Plain:
            def encode(self, number, payload):
                return bytes([number]) + payload

            def decode(self, message):
                return message[0], message[1:]

            def goodbye(self, message):
                return None

        run = ctl_echo.Echoes(Plain(), 8, 0.02)
        channel = Late()
        assert await run.once(channel) is None
        assert await run.once(channel) is not None
        assert (run.reordered, run.facts()["lost"], run.damaged) == (1, 1, 0)

    def test_percentiles_are_values_that_were_measured(self):
        """By nearest rank."""
        values = list(range(1, 101))
        assert [ctl_echo.percentile(values, p) for p in (50, 99, 100)] == [50, 99, 100]
        assert ctl_echo.percentile([7], 99) == 7

    def test_a_control_that_does_not_echo_is_refused(self, kevmond):
        """The message says which do."""
        result = kevmond("ctl", "echo", "com.apple.netsrc")
        assert (result.code, NSTAT in result.err) == (2, True)


class TestUtun:
    def test_packets_are_shown(self, kevmond):
        """The embedded kernel's tunnel is pinged, and shows what comes back."""
        result = kevmond("ctl", "utun", "--count", "2")
        name, first, second = result.out.splitlines()
        assert name.startswith("utun0 is there")
        assert "ipv4  192.0.2.2 > 192.0.2.1  icmp echo request, 35 bytes" in first
        assert "ipv6  2001:db8::2 > 2001:db8::1  icmp6 echo request, 55 bytes" in second
        assert "2 packets, 90 bytes came from utun0" in result.err

    def test_json(self, kevmond):
        """The interface first."""
        name, packet = lines(kevmond("ctl", "utun", "--unit", "3", "--count", "1", "--json"))
        assert name == {"interface": "utun3", "unit": 3}
        assert (packet["family"], packet["protocol"]) == ("ipv4", "icmp")

    def test_units(self, kevmond, kernel):
        """One, or the first free one of a range; a taken one is told."""
        socket = kernel.open_control_socket()
        socket.connect(ControlAddress(5, 11))
        args = ("--no-ping", "--timeout", "1ms")
        assert "utun11" in kevmond("ctl", "utun", "--scan", "10-12", *args).out
        result = kevmond("ctl", "utun", "--unit", "10", *args)
        assert (result.code, "EBUSY" in result.err) == (69, True)
        for wrong in (["--unit", "1", "--scan", "1-2"], ["--scan", "5"], ["--scan", "9-3"]):
            assert kevmond("ctl", "utun", *wrong).code == 2

    @pytest.mark.parametrize(
        ("packet", "line"),
        [
            (
                "4500002134f10000401131c90a0800010a080002e777270f000ddd6970696e6721",
                "ipv4  10.8.0.1:59255 > 10.8.0.2:9999  udp, 33 bytes",
            ),
            (
                "450000280000400040060000c0000201c0000202c0010050000000000000000050120000",
                "ipv4  192.0.2.1:49153 > 192.0.2.2:80  tcp SA, 36 bytes",
            ),
            (
                "4500001c0000002a40110000c0000201c000020200000000",
                "ipv4  192.0.2.1 > 192.0.2.2  udp fragment at 336, 24 bytes",
            ),
            (
                "6000000000100001" + "fe80" + "00" * 13 + "01" + "ff02" + "00" * 13 + "16"
                "3a000502000001008f00000000000001",
                "ipv6  fe80::1 > ff02::16  icmp6 multicast report, 56 bytes",
            ),
            (
                "60000000000c2c40" + "20010db8" + "00" * 12 + "20010db8" + "00" * 11 + "01"
                "1100000000000000" + "0035c001",
                "ipv6  [2001:db8::]:53 > [2001:db8::1]:49153  udp, 52 bytes",
            ),
            ("4500", "ipv4  cut off, 2 bytes"),
            ("60", "ipv6  cut off, 1 bytes"),
            ("45000014000000004063" + "0000" + "c0000201c0000202",
             "ipv4  192.0.2.1 > 192.0.2.2  99, 20 bytes"),
        ],
    )  # fmt: skip
    def test_a_packet_is_a_line(self, packet, line):
        """Addresses, protocol, ports or what kind of message, length."""
        assert ctl_packets.packet_line(ctl_packets.packet_facts(bytes.fromhex(packet))) == line

    @pytest.mark.parametrize("number", range(4))
    def test_pings_are_whole(self, number):
        """Their checksums are right: over all of it they come to zero."""
        packet = ctl_packets.ping(number)
        if number % 2 == 0:
            assert ctl_packets._checksum(packet[:20]) == b"\0\0"
            assert ctl_packets._checksum(packet[20:]) == b"\0\0"
        else:
            body = packet[40:]
            pseudo = packet[8:40] + len(body).to_bytes(4, "big") + b"\0\0\0\x3a"
            assert ctl_packets._checksum(pseudo + body) == b"\0\0"


def test_the_kernel_may_be_named_before_the_subcommand(kevmond):
    """It is that subcommand's default then."""
    result = kevmond("ctl", "--kernel", "sim", "list")
    assert (result.code, "there is no kernel 'sim'" in result.err) == (78, True)
    assert kevmond("ctl", "--kernel", "sim", "list", "--kernel", "simulated").code == 0


@pytest.mark.parametrize("name", ["list", "info", "get", "set", "send", "watch", "echo", "utun"])
def test_every_subcommand_shows_examples(kevmond, name):
    """Each help text holds an example of its use."""
    result = kevmond("ctl", name, "--help")
    assert result.code == 0
    assert f"kevmond ctl {name}" in result.out.partition("Options:")[2]


def test_help_loads_nothing_heavy():
    """`kevmond ctl --help` is quick."""
    code = (
        "import sys, kevmond.cli as c\n"
        "try: c.main(['ctl', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'pydantic', 'uvloop', 'structlog', 'psutil', 'sqlite3'}\n"
        "print(heavy & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr.strip() == "set()"
