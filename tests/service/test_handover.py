"""A state folder given to another user: what goes with it, and what must not."""

import os
import pwd
from pathlib import Path

import pytest

from kevmond.errors import ConfigError
from kevmond.service.handover import StateNames, hand_over, make_folder
from kevmond.service.privileges import Account

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")


@pytest.fixture
def nobody():
    """Look up the user that files are given to."""
    found = pwd.getpwnam("nobody")
    return Account("nobody", found.pw_uid, found.pw_gid, "/", "/bin/false")


@pytest.fixture
def state(tmp_path):
    """Make a state folder of root's in which a daemon ran."""
    folder = tmp_path / "state"
    (folder / "secrets").mkdir(parents=True)
    (folder / "logs").mkdir()
    for name in KEVMOND_S:
        (folder / name).write_text(name)
    return folder


KEVMOND_S = (
    "journal.sqlite", "journal.sqlite-wal", "journal.sqlite.lock", "webhooks.json", "events.jsonl",
    "events-0000000000000012-20261124T101112Z.jsonl.gz", ".events.jsonl.lock",
    "secrets/webhook-wh-1a2b-0123456789ab", "logs/a.jsonl", "logs/.a.jsonl.lock",
)  # fmt: skip


def names(folder):
    """Return what is kevmond's with a journal, two files of sinks and one that is elsewhere."""
    paths = ("journal.sqlite", "webhooks.json", "secrets/webhook", "events.jsonl", "logs/a.jsonl")
    return StateNames(folder, [*(folder / path for path in paths), Path("/var/log/b.jsonl")])


def owners(folder):
    """Return the user of everything below a folder, itself included."""
    return {str(path.relative_to(folder)): path.lstat().st_uid for path in folder.rglob("*")} | {
        ".": folder.stat().st_uid
    }


ALSO_KEVMOND_S = (
    "secrets", "logs", "journal.sqlite.set-aside-20261124T101112Z-wal", "journal.sqlite.probe",
    ".events-1.jsonl.gz.tmp", "webhooks.json.new",
)  # fmt: skip
OTHERS = (
    "kevmond.toml", "events", "eventsjsonl", "a.jsonl", "secrets/id_rsa", "passwd", "logs/b.jsonl",
    "journalism.txt", "x/journal.sqlite",
)  # fmt: skip


@pytest.mark.parametrize("name", [*KEVMOND_S, *ALSO_KEVMOND_S])
def test_what_kevmond_makes_is_known(name):
    """By the settings' own paths, and what stands beside each."""
    assert names(Path("/s")).has(Path(name))


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_others_is_known(name):
    """A name that only looks alike is not kevmond's."""
    assert not names(Path("/s")).has(Path(name))


@AS_ROOT
def test_the_folder_and_what_kevmond_made_are_given(state, nobody):
    """A daemon that ran as root goes on as the user with all that it had."""
    hand_over(state, names(state), nobody)
    assert set(owners(state).values()) == {nobody.uid}
    hand_over(state, names(state), nobody)  # a second start changes nothing


@AS_ROOT
def test_a_folder_with_other_things_in_it_is_not_given(state, nobody):
    """/etc or /var/log as a state folder must not become a user's by a slip."""
    (state / "passwd").write_text("")
    with pytest.raises(ConfigError, match=r"holds what is not kevmond's \(passwd\): give nobody a"):
        hand_over(state, names(state), nobody)
    assert owners(state)["."] == 0


@AS_ROOT
def test_in_the_user_s_own_folder_other_things_are_left_alone(state, nobody):
    """There root's foreign files stay root's, and kevmond's are given."""
    os.chown(state, nobody.uid, -1)
    (state / "notes").write_text("")
    hand_over(state, names(state), nobody)
    assert owners(state)["notes"] == 0
    assert owners(state)["journal.sqlite"] == nobody.uid


@AS_ROOT
def test_links_are_not_followed(state, nobody, tmp_path):
    """Whoever owns the folder could have put a link there, to any file of root's."""
    os.chown(state, nobody.uid, -1)
    target = tmp_path / "shadow"
    target.write_text("root's")
    (state / "events.jsonl").unlink()
    (state / "events.jsonl").symlink_to(target)
    hand_over(state, names(state), nobody)
    assert target.stat().st_uid == 0
    (state / "logs/a.jsonl").unlink()
    (state / "logs/.a.jsonl.lock").unlink()
    (state / "logs").rmdir()
    (state / "logs").symlink_to(tmp_path)
    hand_over(state, names(state), nobody)
    assert tmp_path.stat().st_uid == 0


@AS_ROOT
def test_a_second_name_of_root_s_file_is_refused(state, nobody, tmp_path):
    """A hard link under kevmond's name would give away the file that it is another name of."""
    os.chown(state, nobody.uid, -1)
    target = tmp_path / "shadow"
    target.write_text("root's")
    (state / "events.jsonl").unlink()
    (state / "events.jsonl").hardlink_to(target)
    with pytest.raises(
        ConfigError, match=r"events\.jsonl is root's and has another name elsewhere"
    ):
        hand_over(state, names(state), nobody)
    assert target.stat().st_uid == 0


@AS_ROOT
@pytest.mark.parametrize("name", [".", "journal.sqlite"])
def test_a_third_user_s_is_not_given(state, nobody, name):
    """It is told whose it is, and how it would be given."""
    os.chown(state / name, 54321, -1)
    if name != ".":
        os.chown(state, nobody.uid, -1)
    with pytest.raises(
        ConfigError, match=r"belongs to uid 54321; if it is to be nobody's: sudo chown"
    ):
        hand_over(state, names(state), nobody)


def test_a_folder_that_is_none_is_told(tmp_path, nobody):
    """A file in its place is named."""
    (tmp_path / "state").write_text("")
    with pytest.raises(ConfigError, match=r"cannot be given to nobody \(Not a directory\)"):
        hand_over(tmp_path / "state", names(tmp_path / "state"), nobody)


def test_a_new_folder_is_private_and_its_parents_are_not(tmp_path):
    """Whatever the umask: a user must be able to pass through what root makes above it."""
    old = os.umask(0o077)
    try:
        make_folder(tmp_path / "a/b/state")
    finally:
        os.umask(old)
    modes = [(tmp_path / name).stat().st_mode & 0o777 for name in ("a", "a/b", "a/b/state")]
    assert modes == [0o755, 0o755, 0o700]


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    """The key, the folder, and the symbol of the errno."""
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ConfigError, match=r"daemon\.state_dir: .*file/x cannot be made \(ENOTDIR\)"
    ):
        make_folder(tmp_path / "file/x")


@AS_ROOT
@pytest.mark.parametrize("where", ["itself", "above"])
def test_way_by_a_link_of_the_users_is_refused(tmp_path, nobody, where):
    """Else the user would have any folder of root's that is empty."""
    victim = tmp_path / "root-s"
    (victim / "state").mkdir(parents=True)
    link = tmp_path / "link"
    link.symlink_to(victim / "state" if where == "itself" else victim)
    os.lchown(link, nobody.uid, nobody.gid)
    state = link if where == "itself" else link / "state"
    with pytest.raises(ConfigError, match="symbolic link of nobody's"):
        hand_over(state, names(state), nobody)
    assert (victim / "state").stat().st_uid == 0


@AS_ROOT
def test_way_by_a_link_of_roots_is_followed(tmp_path, nobody):
    """As /var is one on macOS."""
    (tmp_path / "real" / "state").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    hand_over(tmp_path / "link" / "state", names(tmp_path / "link" / "state"), nobody)
    assert (tmp_path / "real" / "state").stat().st_uid == nobody.uid
