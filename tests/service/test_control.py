"""A service started, stopped and watched, by a launchctl that stands in and a clock of its own."""

from pathlib import Path

import pytest

from kevmond.service import place
from kevmond.service.control import Control, ControlError
from kevmond.service.launchctl import Launchctl, LaunchctlError

TARGET = "system/net.kevmond.daemon"
SHIPPED = Path(__file__).parents[2] / "launchd/net.kevmond.daemon.plist"


class Time:
    """A clock that only sleeping moves on; things happen at given times."""

    def __init__(self):
        self.now = 0.0
        self.later = []

    def sleep(self, seconds):
        self.now += seconds
        for moment, event in [each for each in self.later if each[0] <= self.now]:
            self.later.remove((moment, event))
            event()

    def at(self, moment, event):
        self.later.append((moment, event))


@pytest.fixture
def time():
    """Make a clock."""
    return Time()


@pytest.fixture
def control(mac, launchd, time, monkeypatch):
    """Install the shipped job, as far as its file goes; each look is a process, so few are made."""
    monkeypatch.setattr("kevmond.service.control.PACE", 0.5)
    host = mac()
    where = place.daemon()
    plist = host.disk(where.plist)
    plist.write_bytes(SHIPPED.read_bytes())
    return Control(host, where, Launchctl(), sleep=time.sleep, clock=lambda: time.now)


def words(launchd):
    """Return what was called, by its first word."""
    return [call[0] for call in launchd.calls()]


def test_start_loads_what_is_not_loaded(control, launchd):
    """And sees that it goes on running."""
    assert control.start() == "it runs, pid 4200"
    assert words(launchd) == ["bootstrap"]
    assert control.start() == "it runs already, pid 4200"
    assert words(launchd) == []


def test_start_starts_what_is_loaded(control, launchd):
    """A daemon that ended by itself, because of its configuration for one."""
    launchd.fate(pid=None, exit="0")
    control.load()
    launchd.fate()
    launchd.calls()
    assert control.start().startswith("it runs, pid ")
    assert words(launchd) == ["kickstart"]


def test_stop_unloads(control, launchd):
    """Or a caller at its socket would start it again."""
    control.start()
    launchd.calls()
    assert control.stop() == f"stopped and unloaded {TARGET}"
    assert words(launchd) == ["bootout"]
    assert control.stop() == "it is not loaded, so it does not run"


def test_stop_waits_until_it_is_gone(control, launchd, time):
    """A bootout may be under way when launchctl returns."""
    control.start()
    launchd.answers("bootout", (36, "Boot-out failed: 36: Operation now in progress"))
    time.at(9.0, lambda: Launchctl().bootout(TARGET))
    assert control.stop() == f"stopped and unloaded {TARGET}"
    assert time.now >= 9.0


def test_a_stop_that_does_not_end_is_told(control, launchd):
    """After longer than launchd itself waits."""
    control.start()
    launchd.answers("bootout", (36, "Boot-out failed: 36: Operation now in progress"))
    with pytest.raises(ControlError, match="still stopping after 25 s"):
        control.stop()


def test_restart_ends_the_process_and_waits_for_the_next(control, launchd):
    """The job stays loaded, and its socket open."""
    control.start()
    launchd.calls()
    assert control.restart() == "it runs, pid 4201"
    assert words(launchd) == ["kickstart"]


def test_restart_loads_what_is_not_loaded(control, launchd):
    """There is nothing to end."""
    assert control.restart() == "it runs, pid 4200"
    assert words(launchd) == ["bootstrap"]


def test_a_restart_that_launchd_makes_wait_is_waited_for(control, launchd, time):
    """Two starts have to lie half a minute apart."""
    control.start()
    launchd.fate(pid=None, state="spawn scheduled", runs=1)
    began = time.now
    time.at(time.now + 31.0, lambda: launchd.change(TARGET, pid=77, state=None, runs=2))
    assert control.restart() == "it runs, pid 77"
    assert time.now - began >= 31.0


@pytest.mark.parametrize("word", ["start", "stop", "restart"])
def test_what_is_not_installed_is_told(control, word):
    """With the command that installs it."""
    control._host.disk(control._place.plist).unlink()
    with pytest.raises(ControlError, match="kevmond service install"):
        getattr(control, word)()


# ---------------------------------------------------------------------- starts that go wrong


def test_a_daemon_that_fails_at_once_is_told(control, launchd):
    """With how it ended and its last words."""
    errors = control._host.disk(Path("/var/log/kevmond.err"))
    errors.write_text("".join(f"line {n}\n" for n in range(9)))
    launchd.fate(pid=None, exit="73", state="spawn scheduled")
    with pytest.raises(ControlError) as failed:
        control.start()
    text = str(failed.value)
    assert "does not stay running (spawn scheduled)" in text
    assert "could not use its journal (73)" in text
    assert "  line 5\n  line 6\n  line 7\n  line 8\n" in text
    assert "another daemon may have the state folder" in text


def test_a_daemon_that_ends_after_a_moment_is_told(control, launchd, time):
    """Most bad starts last less than two seconds."""
    time.at(1.0, lambda: launchd.change(TARGET, pid=None, exit="1"))
    with pytest.raises(ControlError, match=r"the last run failed \(1\)"):
        control.start()


def test_a_daemon_that_is_started_over_and_over_is_no_running_one(control, launchd, time):
    """Each process is another."""
    for n in range(20):
        time.at(n * 1.5, lambda n=n: launchd.change(TARGET, pid=n + 10, runs=n))
    with pytest.raises(ControlError, match="does not stay running"):
        control.start()


def test_a_wrong_configuration_ends_the_wait(control, launchd, time):
    """It ended as a success, and is not started again."""
    launchd.fate(pid=None, exit="0")
    with pytest.raises(ControlError, match="found its configuration wrong"):
        control.start()
    assert time.now < 1.0


def test_one_that_is_unloaded_meanwhile_is_told(control, time):
    """Somebody else is at work."""
    time.at(1.0, lambda: Launchctl().bootout(TARGET))
    with pytest.raises(ControlError, match="not loaded any more"):
        control.start()


def test_a_refusal_without_a_reason_is_tried_again(control, launchd, time):
    """Just after a bootout launchd refuses for a moment."""
    launchd.answers("bootstrap", *[(5, "Bootstrap failed: 5: Input/output error")] * 3)
    assert control.load() == f"loaded {TARGET}"
    assert time.now == 3.0


def test_a_refusal_that_stays_is_told(control, launchd):
    """With all that may be behind it."""
    launchd.answers("bootstrap", *[(5, "Bootstrap failed: 5: Input/output error")] * 9)
    with pytest.raises(LaunchctlError, match="plutil -lint"):
        control.load()


def test_a_disabled_service_is_told_by_name(control, launchd, time):
    """No more than error 5 is said."""
    launchd.disable(TARGET)
    with pytest.raises(ControlError, match=f"sudo launchctl enable {TARGET}"):
        control.load()
    assert time.now == 0


def test_one_that_is_loaded_already_is_no_failure(control, launchd):
    """As long as it is there."""
    control.load()
    assert control.load() == f"loaded {TARGET}"


@pytest.mark.parametrize("code", [119, 122, 150])
def test_any_other_refusal_is_told_at_once(control, launchd, time, code):
    """Trying again would not help."""
    launchd.answers("bootstrap", (code, f"Bootstrap failed: {code}: whatever"))
    with pytest.raises(LaunchctlError):
        control.load()
    assert time.now == 0
