"""Installing below a folder that stands for a Mac's root, with a launchctl that stands in."""

import os
import plistlib
import pwd
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from kevmond.service import installed, place
from kevmond.service import launchd as jobs
from kevmond.service.control import Control
from kevmond.service.installation import Configured, Installation, RefusedError
from kevmond.service.launchctl import Launchctl
from kevmond.service.steps import Empty, Folder, Remove, StepError, Write

STATE = Path("/Library/Application Support/kevmond")
CONFIG = STATE / "kevmond.toml"
PLIST = Path("/Library/LaunchDaemons/net.kevmond.daemon.plist")
OTHER = "nobody"
STRANGER = 501 if os.getuid() != 501 else 502
"""A user that is none of those who stand for root here."""
STARTER = Configured(CONFIG, STATE, starter="[sinks]\n")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """Let what was started count as running at the first look."""
    monkeypatch.setattr("kevmond.service.control.STAYS", 0.0)
    monkeypatch.setattr("kevmond.service.control.PACE", 0.0)


@pytest.fixture
def install(mac, launchd):
    """Make an Installation: of the daemon, or with agent=True of an agent."""

    def make(*, agent=False, user=None, **more):
        if agent:
            more = {"uid": STRANGER, **more}
        host = replace(mac(), **more)
        where = place.agent(host) if agent else place.daemon(user)
        control = Control(host, where, Launchctl())
        made = Installation(host, where, control, user=user)
        made.host, made.place = host, where
        return made

    return make


def done(plan):
    """Do everything, and return what was told."""
    assert plan.refusals == []
    return [told for step in plan.steps if (told := step.do())]


def mode(path):
    """Permission bits of a file."""
    return stat.S_IMODE(path.stat().st_mode)


# ---------------------------------------------------------------------- the daemon


def test_a_daemon_is_installed(install, launchd):
    """Tried out, written, loaded, and seen running; nothing of it readable that should not be."""
    installation = install()
    told = done(installation.install(STARTER))
    disk = installation.host.disk
    assert told[0].endswith("runs with launchd's environment")
    assert told[1:] == [
        f"made the folder {STATE}",
        f"wrote {CONFIG}",
        "wrote /etc/newsyslog.d/kevmond.conf",
        f"wrote {PLIST}",
        "loaded system/net.kevmond.daemon",
        "it runs, pid 4200",
    ]
    assert mode(disk(STATE)) == 0o700
    assert (mode(disk(PLIST)), mode(disk(CONFIG))) == (0o644, 0o644)
    assert mode(disk(Path("/var/log/kevmond.err"))) == 0o600
    assert plistlib.loads(disk(PLIST).read_bytes()) == installation.install(STARTER).listed
    assert launchd.calls() == [["bootstrap", "system", str(disk(PLIST))]]


def test_the_job_names_what_is_here(install):
    """Interpreter, configuration, socket."""
    listed = install().install(STARTER).listed
    assert listed["ProgramArguments"] == [
        *("/opt/kevmond/bin/python", "-P", "-m", "kevmond", "run", "--launchd"),
        *("--config", str(CONFIG)),
    ]
    assert listed["Sockets"]["Api"]["SockPathName"] == str(STATE / "kevmond.sock")
    assert "UserName" not in listed


def test_installing_again_writes_what_changed_and_restarts(install, launchd):
    """Which is what an upgrade takes."""
    installation = install()
    done(installation.install(STARTER))
    launchd.calls()
    told = done(installation.install(replace(STARTER, starter=None, stop=30.0)))
    assert told[1:] == [
        "stopped and unloaded system/net.kevmond.daemon",
        f"wrote {PLIST}",
        "loaded system/net.kevmond.daemon",
        "it runs, pid 4201",
    ]
    assert [call[0] for call in launchd.calls()] == ["bootout", "bootstrap"]


def test_uninstalling_takes_the_job_and_leaves_the_rest(install, launchd):
    """Events and configuration are their owner's; a second time does nothing."""
    installation = install()
    done(installation.install(STARTER))
    assert done(installation.uninstall()) == [
        "stopped and unloaded system/net.kevmond.daemon",
        f"removed {PLIST}",
        "removed /etc/newsyslog.d/kevmond.conf",
    ]
    disk = installation.host.disk
    assert disk(CONFIG).exists()
    assert not disk(PLIST).exists()
    assert done(installation.uninstall()) == []
    assert installed.read(installation.host, installation.place) is None


def test_a_group_gets_to_the_socket(install):
    """Through the folder, without being able to list it."""
    installation = install()
    group = os.getgid()
    plan = installation.install(replace(STARTER, group=group))
    done(plan)
    folder = installation.host.disk(STATE)
    assert (mode(folder), folder.stat().st_gid) == (0o710, group)
    assert plan.listed["Sockets"]["Api"]["SockPathMode"] == 0o660


def test_a_user_of_the_configurations_may_ask(install):
    """It goes on as daemon.user, so the socket has to be that user's."""
    uid = pwd.getpwnam(OTHER).pw_uid
    configured = replace(STARTER, file=Path("/etc/kevmond/kevmond.toml"), user=OTHER)
    listed = install().install(configured).listed
    assert listed["Sockets"]["Api"]["SockPathOwner"] == uid
    assert "UserName" not in listed


def test_a_configuration_where_its_user_could_change_it_is_refused(install):
    """The daemon would refuse it too, but only once it runs."""
    (refusal,) = install().install(replace(STARTER, user=OTHER)).refusals
    assert "keep it in /etc/kevmond" in refusal


def test_a_user_runs_it_all(install):
    """Job, socket, state folder and error file are that user's; the configuration is not."""
    if os.getuid() != 0:
        pytest.skip("only root can give files away")
    uid = pwd.getpwnam(OTHER).pw_uid
    installation = install(user=OTHER)
    assert installation.place.config == Path("/etc/kevmond/kevmond.toml")
    configured = replace(STARTER, file=installation.place.config, named=False)
    plan = installation.install(configured)
    assert plan.listed["UserName"] == OTHER
    assert plan.listed["Sockets"]["Api"]["SockPathOwner"] == uid
    assert plan.listed["ProgramArguments"][-2:] == ["--state-dir", str(STATE)]
    for step in plan.steps[1:-3]:  # not what it takes launchd or the user for
        step.do()
    disk = installation.host.disk
    owners = [disk(path).stat().st_uid for path in (STATE, Path("/var/log/kevmond.err"))]
    assert owners == [uid, uid]
    assert disk(configured.file).stat().st_uid == 0
    assert f"{OTHER}:wheel" in disk(Path("/etc/newsyslog.d/kevmond.conf")).read_text()


def test_an_unknown_user_is_told(install):
    """Before anything else."""
    with pytest.raises(RefusedError, match="there is no user 'kevmond-none'"):
        install(user="kevmond-none")


def test_a_state_folder_that_is_too_deep_has_no_socket(install):
    """It is installed all the same, and what that means is said."""
    deep = Path("/" + "x" * 120)
    plan = install().install(replace(STARTER, state_dir=deep))
    assert "Sockets" not in plan.listed
    assert any("103 bytes" in doubt for doubt in plan.doubts)


def test_paths_that_will_not_last_are_doubts(install):
    """Program, configuration and state folder; what is right is none."""
    assert install().install(STARTER).doubts == []


def test_each_path_is_looked_at(install):
    """And told for what it is."""
    configured = Configured(
        Path("/tmp/kevmond.toml"), Path("/Users/alice/Desktop/k"), doubts=["one of the others"]
    )
    first, *found = install().install(configured).doubts
    assert first == "one of the others"
    assert [doubt.split(" (", 1)[0] for doubt in found] == [
        "the configuration",
        "the state folder",
    ]


# ---------------------------------------------------------------------- an agent


def test_an_agent_is_its_users(install, launchd):
    """In that user's home and domain; newsyslog is root's business."""
    if os.getuid() != 0:
        pytest.skip("the files of another user are root's to make")
    installation = install(agent=True)
    uid = installation.host.uid
    plan = installation.install(Configured(installation.place.config, STATE, starter="[sinks]\n"))
    told = done(plan)
    assert told[-2:] == [f"loaded gui/{uid}/net.kevmond.agent", "it runs, pid 4200"]
    assert not any("newsyslog" in line for line in told)
    plist = Path("/Users/alice/Library/LaunchAgents/net.kevmond.agent.plist")
    assert installation.host.disk(plist).stat().st_uid == uid
    assert plan.listed["StandardErrorPath"] == "/Users/alice/Library/Logs/kevmond.err"
    assert launchd.calls()[0][:2] == ["bootstrap", f"gui/{uid}"]


# ---------------------------------------------------------------------- who may, and who could


def test_a_daemon_is_roots_to_install(install):
    """And anybody may have an agent."""
    refusals = install(uid=STRANGER).install(STARTER).refusals
    assert ["sudo" in line and "--agent" in line for line in refusals] == [True]


def test_an_agent_is_not_roots(mac, launchd):
    """It would be root's own agent, which never logs in."""
    host = mac()
    where = place.agent(host)
    installation = Installation(host, where, Control(host, where, Launchctl()))
    assert ["without sudo" in line for line in installation.install(STARTER).refusals] == [True]


def test_an_agent_has_no_other_user(install):
    """One of another user's would not be loaded."""
    installation = install(agent=True)
    installation._user = OTHER
    assert "leave --user out" in installation.install(STARTER).refusals[0]


@pytest.mark.parametrize("path", ["/opt/kevmond/bin", "/opt/kevmond/lib", "/opt"])
def test_a_program_that_others_can_change_is_refused(install, path):
    """Whoever changes it is root from the next start on."""
    installation = install()
    installation.host.disk(Path(path)).chmod(0o777)
    (refusal,) = installation.install(STARTER).refusals
    assert f"{path} can be changed by everybody" in refusal
    assert "chmod go-w" in refusal


def test_a_folder_of_jobs_that_others_can_change_is_refused(install):
    """As launchd itself would, with less to say."""
    installation = install()
    folder = installation.host.disk(PLIST.parent)
    folder.chmod(0o777)
    (refusal,) = installation.install(STARTER).refusals
    assert "sudo chown root:wheel" in refusal


def test_a_program_of_another_user_is_refused_with_the_way_out(install):
    """That user is who it can run as."""
    if os.getuid() != 0:
        pytest.skip("only root can give files away")
    installation = install()
    account = pwd.getpwnam(OTHER)
    os.chown(installation.host.disk(installation.host.executable), account.pw_uid, account.pw_gid)
    (refusal,) = installation.install(STARTER).refusals
    assert f"/opt/kevmond/bin/python belongs to {OTHER}" in refusal
    assert f"--user {OTHER}" in refusal


def test_a_program_of_the_user_that_it_runs_as_is_right(install):
    """Who can change it gains nothing."""
    if os.getuid() != 0:
        pytest.skip("only root can give files away")
    installation = install(user=OTHER)
    account = pwd.getpwnam(OTHER)
    os.chown(installation.host.disk(installation.host.executable), account.pw_uid, account.pw_gid)
    assert installation.install(STARTER).refusals == []


def test_a_configuration_of_another_user_is_refused(install):
    """It says which programs the daemon runs."""
    if os.getuid() != 0:
        pytest.skip("only root can give files away")
    installation = install()
    disk = installation.host.disk(CONFIG)
    disk.parent.mkdir(parents=True)
    disk.touch()
    os.chown(disk, pwd.getpwnam(OTHER).pw_uid, -1)
    (refusal,) = installation.install(replace(STARTER, starter=None)).refusals
    assert "sudo chown root" in refusal


# ---------------------------------------------------------------------- steps


def test_a_file_is_written_whole_or_not_at_all(mac, monkeypatch):
    """What was there stays until the new one is complete, and nothing is left beside it."""
    host = mac()
    path = Path("/opt/file")
    host.disk(path).write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", lambda fd: (_ for _ in ()).throw(OSError(28, "No space")))
    with pytest.raises(StepError, match="/opt/file: No space"):
        Write(host, path, b"new", host.superuser).do()
    assert host.disk(path).read_bytes() == b"old"
    assert list(host.disk(Path("/opt")).glob(".file*")) == []


def test_a_file_that_is_right_is_left_alone(mac):
    """Not so if its mode is not, or a link stands there."""
    host = mac()
    step = Write(host, Path("/opt/file"), b"text", host.superuser)
    disk = host.disk(step.path)
    assert step.do() == "wrote /opt/file"
    assert step.do() == ""
    disk.chmod(0o666)
    assert step.do() == "wrote /opt/file"
    assert mode(disk) == 0o644
    disk.rename(disk.with_name("other"))
    disk.symlink_to("other")
    assert step.do() == "wrote /opt/file"
    assert not disk.is_symlink()


def test_an_error_file_keeps_what_it_says(mac):
    """And a link in its place is not followed."""
    host = mac()
    step = Empty(host, Path("/opt/err"), host.superuser)
    disk = host.disk(step.path)
    disk.write_text("last words\n")
    assert step.do() == ""
    assert (disk.read_text(), mode(disk)) == ("last words\n", 0o600)
    disk.rename(disk.with_name("other"))
    disk.symlink_to("other")
    with pytest.raises(StepError, match="/opt/err"):
        step.do()


def test_a_folder_that_is_there_keeps_its_mode(mac):
    """It is somebody's; a group that is to pass through is let through."""
    host = mac()
    disk = host.disk(Path("/opt/folder"))
    disk.mkdir()
    disk.chmod(0o750)
    assert Folder(host, Path("/opt/folder"), 0o755, host.superuser).do() == ""
    assert mode(disk) == 0o750
    disk.chmod(0o700)
    step = Folder(host, Path("/opt/folder"), 0o710, host.superuser, os.getgid())
    assert step.do() == "let a group through the folder /opt/folder"
    assert mode(disk) == 0o710


@pytest.mark.parametrize("kind", [Folder, Write, Remove, Empty])
def test_what_cannot_be_done_is_told_with_its_path(mac, kind):
    """A file stands where a folder should be."""
    host = mac()
    host.disk(Path("/opt/file")).touch()
    path = Path("/opt/file/x")
    step = {
        Folder: lambda: Folder(host, path, 0o700, host.superuser),
        Write: lambda: Write(host, path, b"", host.superuser),
        Remove: lambda: Remove(host, path),
        Empty: lambda: Empty(host, path, host.superuser),
    }[kind]()
    with pytest.raises(StepError, match=r"/opt/file/x: Not a directory"):
        step.do()


def test_a_plan_can_be_shown_as_a_shell_would_do_it(install):
    """Every file with its content, in the order in which it is done."""
    plan = install().install(STARTER)
    shown = [step.shown() for step in plan.steps]
    assert shown[0] == "/opt/kevmond/bin/python -P -m kevmond --version"
    assert shown[1].startswith(f"test -d '{STATE}' || install -d -m 700 -o ")
    assert shown[-4] == "launchctl bootout system/net.kevmond.daemon"
    assert shown[-2].startswith("launchctl bootstrap system ")
    contents = [content for step in plan.steps if (content := step.content())]
    assert contents[0] == b"[sinks]\n"
    assert contents[-1] == jobs.to_plist(plan.listed)


# ---------------------------------------------------------------------- what is installed


def test_what_was_installed_is_read_back(install):
    """For doctor, status and uninstall."""
    installation = install()
    done(installation.install(replace(STARTER, named=False)))
    found = installed.read(installation.host, installation.place)
    assert (found.config, found.state_dir, found.user) == (CONFIG, STATE, None)
    assert found.program == Path("/opt/kevmond/bin/python")
    assert found.error_file == Path("/var/log/kevmond.err")


@pytest.mark.parametrize(
    "data", [b"", b"<plist", b"<plist><array/></plist>", b"\x00\xff", b"<plist><dict></plist>"]
)
def test_a_job_that_cannot_be_read_is_told(mac, data):
    """With the command that writes it anew."""
    host = mac()
    where = place.daemon()
    host.disk(where.plist).write_bytes(data)
    with pytest.raises(installed.UnreadableError, match=r"net\.kevmond\.daemon\.plist: "):
        installed.read(host, where)


def test_a_job_of_another_making_is_read_as_far_as_it_goes():
    """Nothing in it is taken for granted."""
    found = installed.Installed({"ProgramArguments": "x", "UserName": 7})
    assert (found.arguments, found.program, found.user) == ([], None, None)
    found = installed.Installed({"ProgramArguments": ["x", "--config"]})
    assert (found.config, found.state_dir, found.error_file) == (None, None, None)


def test_differences_are_told_by_key():
    """Down to the entry that differs."""
    old = {"Label": "a", "ExitTimeOut": 20, "Sockets": {"Api": {"SockPathMode": 384}}, "Nice": 1}
    new = {"Label": "a", "ExitTimeOut": 30, "Sockets": {"Api": {"SockPathMode": 432}}, "Run": True}
    assert installed.differences(old, new) == [
        "ExitTimeOut is 20, it would be 30",
        "Sockets.Api.SockPathMode is 384, it would be 432",
        "Run is not there, it would be true",
        "Nice is 1, it would be not there",
    ]
    assert installed.differences({"A": 1}, {"A": True}) == ["A is 1, it would be true"]
