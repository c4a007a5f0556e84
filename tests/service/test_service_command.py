"""`kevmond service`, from its words to launchctl's."""

import json
import os
import plistlib
from dataclasses import replace
from pathlib import Path

import pytest

from kevmond.cli.service_config import configured
from kevmond.config.loader import load
from kevmond.daemon import JOURNAL_DEADLINE
from kevmond.errors import ConfigError
from kevmond.service import place

STATE = Path("/Library/Application Support/kevmond")
CONFIG = STATE / "kevmond.toml"
PLIST = Path("/Library/LaunchDaemons/net.kevmond.daemon.plist")
TARGET = "system/net.kevmond.daemon"


@pytest.fixture
def host(mac, launchd, monkeypatch):
    """Let the command line believe that this is a Mac."""
    monkeypatch.setattr("kevmond.service.control.STAYS", 0.0)
    monkeypatch.setattr("kevmond.service.control.PACE", 0.0)
    made = mac()
    monkeypatch.setattr(place, "here", lambda: made)
    return made


def written(host, text, path=CONFIG):
    """Write a configuration."""
    disk = host.disk(path)
    disk.parent.mkdir(parents=True, exist_ok=True)
    disk.write_text(text)
    return disk


# ---------------------------------------------------------------------- from first to last


def test_a_service_from_installing_to_uninstalling(host, kevmond, launchd):
    """As somebody would type it."""
    result = kevmond("service", "install")
    assert (result.code, result.err) == (0, "")
    assert (
        result.out.splitlines()[-1]
        == "its events: sudo kevmond tail; how it is: sudo kevmond status"
    )
    assert "it runs, pid 4200" in result.out
    assert load(host.disk(CONFIG)).settings.sinks["jsonl"].type == "jsonl"

    result = kevmond("service", "status")
    assert result.code == 0
    assert result.out.startswith(f"{TARGET}: running, pid 4200\n")

    assert kevmond("service", "restart").out == "it runs, pid 4201\n"
    assert kevmond("service", "stop").out == f"stopped and unloaded {TARGET}\n"
    result = kevmond("service", "status")
    assert (result.code, result.out.splitlines()[-1]) == (1, "-> sudo kevmond service start")
    assert kevmond("service", "start").out == "it runs, pid 4202\n"

    result = kevmond("service", "uninstall")
    assert result.code == 0
    assert f"kept: {STATE} (events, subscriptions)" in result.out
    assert f"kept: {CONFIG} (configuration)" in result.out
    assert f"sudo rm -r '{STATE}'" in result.out
    assert kevmond("service", "uninstall").out == "net.kevmond.daemon is not installed\n"
    assert [call[0] for call in launchd.calls()] == [
        "bootstrap",
        "kickstart",
        "bootout",
        "bootstrap",
        "bootout",
    ]


def test_a_dry_run_changes_nothing(host, kevmond, launchd):
    """It prints every command and every file."""
    before = sorted(host.root.rglob("*"))
    result = kevmond("service", "install", "--dry-run")
    assert result.code == 0
    assert sorted(host.root.rglob("*")) == before
    assert launchd.calls() == []
    assert "launchctl bootstrap system " in result.out
    begin, end = result.out.index("<?xml"), result.out.index("</plist>") + len("</plist>")
    job = plistlib.loads(result.out[begin:end].encode())
    assert job["Label"] == "net.kevmond.daemon"
    assert job == plistlib.loads(kevmond("service", "print").out.encode())


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("start", [f"launchctl bootstrap system {PLIST}", f"launchctl kickstart {TARGET}"]),
        ("stop", [f"launchctl bootout {TARGET}"]),
        ("restart", [f"launchctl kickstart -k {TARGET}"]),
        ("uninstall", [f"launchctl bootout {TARGET}", f"rm -f {PLIST}"]),
    ],
)
def test_every_word_has_a_dry_run(host, kevmond, launchd, word, shown):
    """With what launchctl would be called with."""
    result = kevmond("service", word, "--dry-run")
    assert (result.code, launchd.calls()) == (0, [])
    assert result.out.splitlines()[: len(shown)] == shown


@pytest.mark.parametrize("word", ["install", "uninstall", "start", "stop", "restart", "status"])
def test_off_a_mac_it_says_what_it_would_do(host, kevmond, launchd, monkeypatch, word):
    """And ends with the exit code of what is not there; nothing is touched."""
    monkeypatch.setattr(place, "here", lambda: replace(host, platform="linux"))
    before = sorted(host.root.rglob("*"))
    result = kevmond("service", word)
    assert result.code == 69
    assert "launchctl " in result.out
    assert "no launchd, so nothing was done" in result.err
    assert (launchd.calls(), sorted(host.root.rglob("*"))) == ([], before)
    if word != "status":
        assert kevmond("service", word, "--dry-run").code == 0
    assert kevmond("service", "print").code == 0


def test_this_system_is_what_is_installed_on(kevmond):
    """The interpreter that runs now, with the kevmond that runs now."""
    found = place.here()
    assert found.disk(found.executable).exists()
    assert (found.package / "service/place.py").exists()
    assert str(found.executable) in kevmond("service", "install", "--dry-run").out


# ---------------------------------------------------------------------- what is refused


def test_refusals_come_before_anything_is_done(host, kevmond, launchd):
    """All of them, one line each."""
    host.disk(Path("/opt")).chmod(0o777)
    result = kevmond("service", "install")
    assert (result.code, result.out, launchd.calls()) == (1, "", [])
    assert "/opt can be changed by everybody" in result.err
    assert not host.disk(PLIST).exists()
    assert "# refused: /opt can be" in kevmond("service", "install", "--dry-run").out


def test_a_wrong_configuration_is_not_installed(host, kevmond, launchd):
    """Each mistake is told, as `kevmond config check` does."""
    written(host, "[daemon]\nlog_levl = 1\n[sinks.x]\ntype = 'jsonl'\npth = 'x'\n")
    result = kevmond("service", "install")
    assert (result.code, launchd.calls()) == (78, [])
    assert "daemon.log_levl" in result.err
    assert "sinks.x.pth" in result.err


def test_a_configuration_that_is_not_there_is_told(host, kevmond):
    """Only where none was named a first one is written."""
    result = kevmond("service", "install", "--config", "/etc/none.toml")
    assert result.code == 78
    assert "/etc/none.toml" in result.err


def test_launchctls_refusal_is_explained(host, kevmond, launchd):
    """With exit code 1; what was written stays for the next attempt."""
    launchd.answers("bootstrap", (122, "Bootstrap failed: 122: Path had bad ownership/permissions"))
    result = kevmond("service", "install")
    assert result.code == 1
    assert "wrong owner or mode (122)" in result.err
    assert kevmond("service", "install").code == 0


def test_a_daemon_that_does_not_stay_is_told(host, kevmond, launchd):
    """With its last words, and what to do."""
    launchd.fate(pid=None, exit="73")
    result = kevmond("service", "install")
    assert result.code == 1
    assert "could not use its journal (73)" in result.err


def test_doubts_are_warnings(host, kevmond):
    """On stderr; the service is installed."""
    written(host, "[sinks.log]\ntype = 'log'\n[kernel]\nsource = 'simulated'\n")
    result = kevmond("service", "install")
    assert result.code == 0
    assert "sinks.log writes every event to standard error" in result.err
    assert "kernel.source is simulated" in result.err


# ---------------------------------------------------------------------- status


def test_status_tells_of_what_is_not_installed(host, kevmond):
    """And of the word that installs it."""
    result = kevmond("service", "status")
    assert result.code == 1
    assert "not installed" in result.out
    assert result.out.splitlines()[-1] == "-> sudo kevmond service install"


def test_status_tells_why_it_does_not_run(host, kevmond, launchd):
    """Last exit, last words, what to do."""
    kevmond("service", "install")
    host.disk(Path("/var/log/kevmond.err")).write_text("2026-11-24T10:00:00Z kevmond: alas\n")
    launchd.change(TARGET, pid=None, exit="78: EX_CONFIG", runs=9, state="spawn scheduled")
    result = kevmond("service", "status")
    assert result.code == 1
    assert result.out.startswith(f"{TARGET}: spawn scheduled\n")
    assert "started    9 times" in result.out
    assert "launchd could not start it (78)" in result.out
    assert "    2026-11-24T10:00:00Z kevmond: alas\n" in result.out
    assert result.out.splitlines()[-1].endswith("kevmond doctor")


def test_status_tells_of_a_disabled_service(host, kevmond, launchd):
    """Which starts neither at boot nor at a word."""
    kevmond("service", "install")
    kevmond("service", "stop")
    launchd.disable(TARGET)
    assert f"sudo launchctl enable {TARGET}" in kevmond("service", "status").out
    result = kevmond("service", "start")
    assert (result.code, "is disabled" in result.err) == (1, True)


def test_status_for_programs(host, kevmond):
    """The same as JSON."""
    facts = json.loads(kevmond("service", "status", "--json").out)
    assert (facts["installed"], facts["loaded"], facts["running"]) == (False, False, False)
    kevmond("service", "install")
    facts = json.loads(kevmond("service", "status", "--json").out)
    assert (facts["running"], facts["pid"], facts["throttle"]) == (True, 4200, 30)


# ---------------------------------------------------------------------- agents and users


def test_an_agent_is_addressed_by_its_option(host, kevmond, monkeypatch):
    """In the domain of the user at the screen, without sudo."""
    monkeypatch.setattr(place, "here", lambda: replace(host, uid=501))
    result = kevmond("service", "restart", "--agent", "--dry-run")
    assert result.out == "launchctl kickstart -k gui/501/net.kevmond.agent\n"
    job = plistlib.loads(kevmond("service", "print", "--agent").out.encode())
    assert job["ProgramArguments"][-1] == "/Users/alice/.config/kevmond/kevmond.toml"
    assert "-> kevmond service install --agent" in kevmond("service", "status", "--agent").out


def test_a_user_finds_the_state_folder_by_the_configuration(host):
    """The first configuration names it, for that user would look in a home of its own."""
    found = configured(host, place.daemon("alice"), user="alice")
    assert found.file == Path("/etc/kevmond/kevmond.toml")
    assert found.named
    assert f'state_dir = "{STATE}"' in found.starter


# ---------------------------------------------------------------------- what is configured


@pytest.mark.parametrize("agent", [False, True])
def test_the_first_configuration_is_right(host, tmp_path, agent):
    """It says nothing on standard error, and can be checked."""
    where = place.agent(host) if agent else place.daemon()
    found = configured(host, where)
    assert (found.file, found.state_dir) == (where.config, where.state_dir)
    path = tmp_path / "kevmond.toml"
    path.write_text(found.starter)
    assert list(load(path).settings.sinks) == ["jsonl"]
    assert configured(replace(host, root=Path("/")), where, config=path).doubts == []


def test_a_configuration_that_is_there_is_found(host):
    """In the order in which the daemon itself looks."""
    written(host, "", Path("/etc/kevmond/kevmond.toml"))
    assert configured(host, place.daemon()).file == Path("/etc/kevmond/kevmond.toml")
    written(host, "", Path("/opt/homebrew/etc/kevmond/kevmond.toml"))
    found = configured(host, place.daemon())
    assert found.file == Path("/opt/homebrew/etc/kevmond/kevmond.toml")
    assert (found.starter, found.state_dir, found.named) == (None, STATE, True)


def test_the_state_folder_is_the_options_then_the_configurations(host):
    """The job names it where the daemon would not find it by itself."""
    written(host, "[daemon]\nstate_dir = '/var/db/kevmond'\n")
    where = place.daemon()
    found = configured(host, where)
    assert (found.state_dir, found.named) == (Path("/var/db/kevmond"), True)
    found = configured(host, where, state_dir=Path("/s"))
    assert (found.state_dir, found.named) == (Path("/s"), False)
    written(host, "")
    assert configured(host, where, user="nobody").named is False


def test_a_stop_takes_what_the_configuration_gives_it(host):
    """And the journal's own time."""
    written(host, "[daemon]\ndrain_deadline = '60s'\n")
    assert configured(host, place.daemon()).stop == 60 + JOURNAL_DEADLINE


def test_a_group_is_looked_up(host):
    """One that is not there is a doubt: the daemon says so too."""
    import grp

    written(host, f"[api]\ngroup = '{grp.getgrgid(os.getgid()).gr_name}'\n[sinks]\n")
    assert configured(host, place.daemon()).group == os.getgid()
    written(host, "[api]\ngroup = 'kevmond-none'\n[sinks]\n")
    found = configured(host, place.daemon())
    assert (found.group, len(found.doubts)) == (None, 1)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[sinks.a]\ntype = 'log'\noutput = 'stdout'\n", "standard output"),
        ("[sinks.a]\ntype = 'log'\n", "standard error"),
        ("[sinks.a]\ntype = 'log'\noutput = 'syslog'\n", None),
        ("[sinks.a]\ntype = 'log'\nenabled = false\n", None),
        ("[kernel]\nsource = 'replay:x'\n[sinks]\n", "kernel.source"),
        ("[kernel]\nsource = 'darwin'\n[sinks]\n", None),
    ],
)
def test_what_is_wrong_in_a_service_only_is_a_doubt(host, text, told):
    """It is right in a terminal."""
    written(host, text)
    found = configured(host, place.daemon()).doubts
    assert [told in doubt for doubt in found] == ([] if told is None else [True])


def test_secrets_have_to_be_there(host):
    """As for `kevmond config check`."""
    text = "[sinks.w]\ntype = 'webhook'\nurl = 'https://example.org'\nsecret = 'file:/none'\n"
    written(host, text)
    with pytest.raises(ConfigError, match=r"sinks\.w\.secret"):
        configured(host, place.daemon())
