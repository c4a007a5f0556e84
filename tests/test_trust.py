"""Which files are believed, and what is said of those that are not."""

import grp
import os
import pwd
import stat

import pytest

from kevmond import trust
from kevmond.errors import ConfigError
from kevmond.secret import Secret

ME = trust.user_name(os.geteuid())
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")


@pytest.fixture
def file(tmp_path):
    """Write a file in a folder of its own, both private."""
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o700)
    path = folder / "kevmond.toml"
    path.write_text("[daemon]\n")
    path.chmod(0o600)
    return path


def refusal(path):
    """Return what is said of a file that is refused."""
    with pytest.raises(trust.TrustError) as caught:
        trust.read(path)
    return str(caught.value)


def shared_gid():
    """Return a group that is nobody's own."""
    return next(
        g.gr_gid for g in grp.getgrall() if g.gr_name not in {u.pw_name for u in pwd.getpwall()}
    )


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o444, 0o755])
def test_a_file_that_only_its_owner_can_change_is_believed(file, mode):
    """Whoever may read it, nobody but its owner may write to it."""
    file.chmod(mode)
    assert trust.read(file) == "[daemon]\n"


@pytest.mark.parametrize("mode", [0o646, 0o602, 0o666])
def test_a_file_that_everybody_may_change_is_refused(file, mode):
    """The answer names the file, its mode and owner, and the command that puts it right."""
    file.chmod(mode)
    bits = "o" if mode != 0o666 or trust._is_private(file.stat()) else "go"
    assert refusal(file) == (
        f"everybody may change it ({file}: mode 0{mode:o}, owner {ME}): chmod {bits}-w {file}"
    )


@AS_ROOT
def test_a_file_that_a_group_may_change_is_refused(file):
    """A group of several people is others, as sudo and sshd hold it."""
    os.chown(file, -1, shared_gid())
    file.chmod(0o660)
    group = trust.group_name(shared_gid())
    assert refusal(file).startswith(f"the group {group} may change it ({file}: mode 0660")


def test_the_owner_s_own_group_is_not_others(file, monkeypatch):
    """Where every user has a group of that name and files are 0664, the file is believed."""
    user = pwd.getpwuid(os.geteuid())
    own = grp.struct_group((user.pw_name, "x", user.pw_gid, []))
    monkeypatch.setattr(grp, "getgrgid", lambda gid: own)
    os.chown(file, -1, user.pw_gid)
    file.chmod(0o664)
    assert trust.read(file)
    crowd = grp.struct_group((user.pw_name, "x", user.pw_gid, [user.pw_name, "mallory"]))
    monkeypatch.setattr(grp, "getgrgid", lambda gid: crowd)
    assert "may change it" in refusal(file)


def test_a_folder_that_everybody_may_write_to_is_refused(file):
    """Whoever may write to the folder can put another file in its place."""
    file.parent.chmod(0o777)
    assert refusal(file) == (
        f"everybody may put another file in its place ({file.parent}: mode 0777, owner {ME}): "
        f"chmod {'o' if trust._is_private(file.parent.stat()) else 'go'}-w {file.parent}"
    )


def test_a_sticky_folder_is_no_danger(file):
    """In a folder such as /tmp nobody can replace what is another's."""
    file.parent.chmod(0o1777)
    assert trust.read(file)


def test_every_folder_that_links_lead_through_counts(file, tmp_path):
    """A link in a safe folder to a file in an unsafe one, and the other way, are refused alike."""
    unsafe = tmp_path / "unsafe"
    unsafe.mkdir()
    unsafe.chmod(0o777)
    (unsafe / "link").symlink_to(file)
    assert str(unsafe) in refusal(unsafe / "link")
    (unsafe / "middle").symlink_to(file)
    (tmp_path / "outer").symlink_to(unsafe / "middle")
    assert str(unsafe) in refusal(tmp_path / "outer")
    (tmp_path / "straight").symlink_to(file)
    assert trust.read(tmp_path / "straight")


@AS_ROOT
def test_another_user_s_file_link_and_folder_are_refused(file, tmp_path):
    """Only root's own count for root; the answer says whom to give them to."""
    other = pwd.getpwnam("nobody").pw_uid
    link = tmp_path / "link"
    link.symlink_to(file)
    os.lchown(link, other, -1)
    assert f"its link must belong to root ({link}: " in refusal(link)
    assert refusal(link).endswith(f"sudo chown -h root {link}")
    os.chown(file, other, -1)
    assert refusal(file) == (
        f"it must belong to root ({file}: mode 0600, owner nobody): sudo chown root {file}"
    )
    os.chown(file, 0, -1)
    os.chown(file.parent, other, -1)
    assert refusal(file).startswith(f"its folder must belong to root ({file.parent}: ")


def test_root_s_files_count_for_every_user(file, monkeypatch):
    """A user's daemon believes what root wrote, and what is its own, and nobody else's."""
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    if file.stat().st_uid == 0:
        assert trust.read(file)
    else:
        assert "it must belong to uid 54321 or root" in refusal(file)


def test_all_reasons_are_told_at_once(file):
    """The file's mode and the folder's are two lines."""
    file.chmod(0o666)
    file.parent.chmod(0o777)
    assert len(refusal(file).splitlines()) == 2


def test_a_name_with_blanks_is_quoted_in_the_command(file):
    """The command can be pasted into a shell."""
    path = file.with_name("my own.toml")
    file.rename(path)
    path.chmod(0o602)
    assert refusal(path).endswith(f"chmod o-w '{path}'")


def test_devices_and_pipes_are_read(tmp_path):
    """/dev/null, whose mode is 0666, and a shell's <(command) are configurations like any other."""
    assert trust.read(tmp_path.__class__("/dev/null")) == ""
    reader, writer = os.pipe()
    try:
        os.write(writer, b"[daemon]\n")
        os.close(writer)
        assert trust.read(tmp_path.__class__(f"/dev/fd/{reader}")) == "[daemon]\n"
    finally:
        os.close(reader)


def test_a_file_that_is_not_there_is_no_matter_of_trust(tmp_path):
    """It is told as what it is."""
    with pytest.raises(FileNotFoundError):
        trust.read(tmp_path / "none")


def test_secrets_are_held_to_the_same(file):
    """A secret that others could replace is none; the error names the reference and the way out."""
    file.write_text("s3cret\n")
    file.chmod(0o602)
    with pytest.raises(
        ConfigError, match=rf"secret file:{file}: everybody may change it .*chmod o-w"
    ):
        Secret(f"file:{file}").reveal()
    file.chmod(0o600)
    assert Secret(f"file:{file}").reveal() == "s3cret"


@pytest.mark.parametrize(("mode", "told"), [(0o600, False), (0o640, False), (0o644, True)])
def test_a_secret_that_everybody_may_read_is_told(file, mode, told):
    """It works, but it is said; a group that may read it is somebody's choice."""
    file.chmod(mode)
    line = trust.open_to_others(file)
    assert (line is not None) == told
    if told:
        assert line == f"everybody may read it (mode 0644): chmod o-r {file}"


def test_nothing_is_said_of_a_secret_that_is_not_there(tmp_path):
    """Neither of one that is missing, nor of what is no file."""
    assert trust.open_to_others(tmp_path / "none") is None
    assert stat.S_ISDIR(tmp_path.stat().st_mode)
    assert trust.open_to_others(tmp_path) is None
