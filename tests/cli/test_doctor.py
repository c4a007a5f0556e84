"""`kevmond doctor`: what a system offers."""

import asyncio
import json
import subprocess
import sys

import pytest

from kevmond.cli.doctor_checks import CHECKS, examine
from kevmond.errors import KernelError
from kevmond.kernel.simulated.model import SimulatedKernel
from kevmond.kernel.simulated.served import KernelServer

NAMES = [check.name for check in CHECKS]
ALL = [*NAMES, "installation"]
"""With the one line that is said of launchd where there is none."""


class Changed:
    """A kernel of which some calls are other than they should be."""

    def __init__(self, kernel=None, **changed):
        self._kernel = kernel or SimulatedKernel()
        self._changed = changed

    def __getattr__(self, name):
        return self._changed.get(name) or getattr(self._kernel, name)


def changed_sockets(kernel, **changed):
    """Return what opens control sockets of which some calls are other than they should be."""
    return lambda *, stream=False: Changed(kernel.open_control_socket(stream=stream), **changed)


def refuse(symbol):
    """Return a call that fails with this errno."""

    def call(*args, **more):
        raise KernelError("call", symbol)

    return call


def found(kernel):
    """Find out everything; findings by check."""
    return {finding.check: finding for finding in examine(kernel)}


def outcomes(kernel):
    """Names of the checks that did not pass, and how they ended."""
    return {one.check: one.outcome for one in examine(kernel) if one.outcome != "pass"}


def test_a_whole_kernel_passes_everything():
    """In order, with what was found."""
    findings = found(SimulatedKernel())
    assert list(findings) == NAMES
    assert {finding.outcome for finding in findings.values()} == {"pass"}
    assert "Darwin 20.6.0 (20G1427)" in findings["system"].told
    assert "7456540 of 8388608 bytes granted" in findings["event-buffer"].told
    assert "10 controls" in findings["control-list"].told
    assert "80 bytes there, 104 back" in findings["control-echo"].told
    assert findings["source-address"].told == "the source for 127.0.0.1 is 127.0.0.1"
    assert findings["tunnel"].told == (
        "utun0: if-attached, if-detaching, if-detached; ids 1 to 3 without a gap"
    )


def test_nothing_is_left_behind():
    """Every socket is closed, every interface gone."""
    kernel = SimulatedKernel()
    list(examine(kernel))
    assert (kernel.pcbs, kernel.kctl.pcbs) == ((), set())


def test_without_root_there_is_no_tunnel():
    """All the rest any user can find out; how to go on is said."""
    kernel = SimulatedKernel(uid=501)
    assert outcomes(kernel) == {"tunnel": "impossible"}
    finding = found(kernel)["tunnel"]
    assert (finding.told, finding.advice) == (
        "only root may make an interface",
        "sudo kevmond doctor",
    )


def test_without_sockets_what_needs_them_is_not_possible():
    """The cause is told once."""
    kernel = Changed(open_event_socket=refuse("EPERM"), open_control_socket=refuse("EPERM"))
    told = outcomes(kernel)
    assert [name for name, outcome in told.items() if outcome == "fail"] == [
        "event-socket",
        "control-socket",
    ]
    assert "sandbox" in found(kernel)["event-socket"].advice
    assert found(kernel)["event-id"].told == "it needs: event-socket"


def test_a_system_without_such_sockets_fails_nothing(kevmond, monkeypatch):
    """Nothing is broken: nothing of it is there, which is said once, and first."""
    hint = "this system has no PF_SYSTEM sockets"

    def absent(symbol):
        def call(*args, **more):
            raise KernelError("call", symbol, hint)

        return call

    kernel = Changed(
        identity=absent("ENOSYS"),
        statistics=lambda: None,
        control_statistics=lambda: None,
        open_event_socket=absent("EAFNOSUPPORT"),
        open_control_socket=absent("EAFNOSUPPORT"),
    )
    assert set(outcomes(kernel).values()) == {"impossible"}
    monkeypatch.setattr("kevmond.kernel.select.open_kernel", lambda spec: kernel)
    result = kevmond("doctor")
    assert result.code == 0
    assert result.out.startswith(f"not possible here: {hint}\n")
    assert result.out.count(hint) == 1
    assert f"0 pass, 0 fail, {len(ALL)} not possible here" in result.out


def test_counters_that_cannot_be_read_are_no_failure():
    """What that means for losses is said."""
    kernel = Changed(statistics=lambda: None, control_statistics=lambda: None)
    assert outcomes(kernel) == {"event-counters": "impossible", "control-counters": "impossible"}


def test_a_small_buffer_is_told_with_what_limits_it():
    """And how to raise it."""
    finding = found(SimulatedKernel(sb_max=36864))["event-buffer"]
    assert finding.outcome == "fail"
    assert "kern.ipc.maxsockbuf is 36864" in finding.told
    assert finding.advice == "raise it: sudo sysctl -w kern.ipc.maxsockbuf=8388608"


def test_controls_that_are_not_there():
    """What needs them cannot be found out."""
    kernel = SimulatedKernel()
    for name in (b"com.apple.network.statistics", b"com.apple.netsrc"):
        kernel.kctl.deregister(next(one for one in kernel.kctl.controls if one.name == name))
    assert outcomes(kernel) == {
        "control-echo": "impossible",
        "message-limit": "impossible",
        "source-address": "impossible",
        "wrong-type": "impossible",
        "no-options": "impossible",
    }
    assert found(kernel)["no-options"].told == "this kernel has no com.apple.netsrc"


@pytest.mark.parametrize(
    ("call", "answer", "failing"),
    [
        ("lookup", lambda name: 4711, {"control-list", "unknown-name"}),
        ("next_size", lambda: 1, {"control-echo"}),
        ("receive", lambda size: b"x" * 56, {"control-echo", "source-address"}),
        ("receive", lambda size: b"", {"control-echo", "source-address"}),
        ("get_option", refuse("EOPNOTSUPP"), {"no-options", "tunnel"}),
        ("get_option", lambda *args: b"utun7\0", {"no-options", "tunnel"}),
        ("connect", lambda address: None, {"wrong-type"}),
        ("set_send_space", lambda size: None, {"message-limit"}),
        ("send", len, {"message-limit"}),
    ],
)
def test_a_kernel_that_answers_otherwise_fails(monkeypatch, call, answer, failing):
    """Each check looks at what it says it does."""
    monkeypatch.setattr("kevmond.cli.doctor_probe.PATIENCE_S", 0.01)
    kernel = SimulatedKernel()
    changed = Changed(kernel, open_control_socket=changed_sockets(kernel, **{call: answer}))
    failed = {name for name, outcome in outcomes(changed).items() if outcome == "fail"}
    assert failing <= failed


def test_events_that_do_not_come_are_missed(monkeypatch):
    """The check names what it saw."""
    monkeypatch.setattr("kevmond.cli.doctor_probe.PATIENCE_S", 0.01)
    kernel = SimulatedKernel()
    post = kernel.post
    monkeypatch.setattr(
        kernel, "post", lambda *what: post(*what) if what[3] == 9 else kernel.last_id
    )
    finding = found(kernel)["tunnel"]
    assert finding.outcome == "fail"
    assert finding.told.endswith("seen within 0.01 s: if-attached")


def test_ids_that_jump_are_told(monkeypatch):
    """Somebody's event was lost."""
    kernel = SimulatedKernel()
    post = kernel.post

    def skipping(*what):
        kernel.last_id += what[3] == 10
        return post(*what)

    monkeypatch.setattr(kernel, "post", skipping)
    finding = found(kernel)["tunnel"]
    assert (finding.outcome, "ids jump: [(1, 3)]" in finding.told) == ("fail", True)


def test_other_interfaces_events_are_passed_over(monkeypatch):
    """Only those of the tunnel itself count; all ids do."""
    kernel = SimulatedKernel()
    post = kernel.post

    def busy(*what):
        post(3, 1, 2, 3, b"x")
        return post(*what)

    monkeypatch.setattr(kernel, "post", busy)
    told = found(kernel)["tunnel"].told
    assert told == "utun0: if-attached, if-detaching, if-detached; ids 1 to 6 without a gap"


def test_the_command_shows_findings_and_a_sum(kevmond):
    """Off a Mac it says what it is that is checked."""
    result = kevmond("doctor", "--kernel", "simulated")
    lines = result.out.splitlines()
    assert result.code == 0
    assert "nothing of a Mac" in lines[0]
    assert lines[1].split("  ", 1)[0] == "pass"
    assert lines[-1] == f"{len(NAMES)} pass, 0 fail, 1 not possible here"


def test_a_failure_is_exit_code_1(kevmond, monkeypatch):
    """And what could not be found out is none."""
    kernel = SimulatedKernel(uid=501)
    monkeypatch.setattr("kevmond.kernel.select.open_kernel", lambda spec: kernel)
    assert kevmond("doctor").code == 0
    kernel = Changed(identity=refuse("EPERM"))
    result = kevmond("doctor")
    assert result.code == 1
    assert "\nfail " in result.out
    assert "-> a sandbox" in result.out


def test_json_is_one_object_a_check(kevmond):
    """With all that is shown."""
    facts = list(map(json.loads, kevmond("doctor", "--json").out.splitlines()))
    assert [one["check"] for one in facts] == ALL
    assert set(facts[0]) == {"kernel", "check", "about", "outcome", "told", "advice"}


async def test_a_served_kernel_is_checked(tmp_path):
    """From another process, over its socket."""
    async with KernelServer(SimulatedKernel(), tmp_path / "k"):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "kevmond", "doctor", "--json"),
            *("--kernel", f"simulated:{tmp_path / 'k'}"),
            stdout=subprocess.PIPE,
        )
        async with asyncio.timeout(30):
            out, _ = await process.communicate()
    told = {one["check"]: one["outcome"] for one in map(json.loads, out.splitlines())}
    assert (process.returncode, told) == (
        0,
        dict.fromkeys(NAMES, "pass") | {"installation": "impossible"},
    )


async def test_the_darwin_kernel_is_checked_through_the_shim(tmp_path, kevshim_environment):
    """The calls that a Mac is asked, answered by the simulated kernel."""
    async with KernelServer(SimulatedKernel(), tmp_path / "k"):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "kevmond", "doctor", "--json", "--kernel", "darwin"),
            stdout=subprocess.PIPE,
            env=kevshim_environment(tmp_path / "k"),
        )
        async with asyncio.timeout(60):
            out, _ = await process.communicate()
    told = [json.loads(line) for line in out.splitlines()]
    assert [one["check"] for one in told] == ALL
    assert [one for one in told if one["outcome"] == "fail"] == []


@pytest.mark.parametrize(
    ("args", "code", "why"),
    [
        (["--kernel", "sim"], 78, "there is no kernel 'sim'"),
        (["--kernel", "simulated:/nowhere/k"], 1, "simulate --listen /nowhere/k"),
    ],
)
def test_errors_tell_what_to_do(kevmond, args, code, why):
    """No traceback."""
    result = kevmond("doctor", *args)
    assert (result.code, why in result.err + result.out) == (code, True), result
    assert "Traceback" not in result.err
