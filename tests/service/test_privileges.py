"""Root given up: in which order, and how sure that is; for real in tests/e2e/test_privileges.py."""

import grp
import os
import pwd

import pytest

from kevmond.errors import ConfigError
from kevmond.service.privileges import Account, PrivilegeError, account, become

USER = Account("_kevmond", 390, 390, "/var/empty", "/usr/bin/false")


class System:
    """The calls of `os` that matter, as a kernel answers them; what is asked is noted."""

    def __init__(self, *, leaky=(), groups=(390, 12)):
        self.calls = []
        self.uids = [0, 0, 0]
        self.gids = [0, 0, 0]
        self.groups = [0, 1, 2]
        self._membership = list(groups)
        self._leaky = leaky

    def initgroups(self, name, gid):
        self._root("initgroups", name, gid)
        if "initgroups" not in self._leaky:
            self.groups = self._membership

    def setgid(self, gid):
        self._change("setgid", self.gids, gid)

    def setuid(self, uid):
        self._change("setuid", self.uids, uid)

    def setegid(self, gid):
        self._change("setegid", self.gids, gid)

    def seteuid(self, uid):
        self._change("seteuid", self.uids, uid)

    def getuid(self):
        return self.uids[0]

    def geteuid(self):
        return self.uids[1]

    def getgid(self):
        return self.gids[0]

    def getegid(self):
        return self.gids[1]

    def getgroups(self):
        return self.groups

    def getgrouplist(self, name, gid):
        return self._membership

    def _root(self, *call):
        self.calls.append(call)
        if self.uids[1] != 0:
            raise PermissionError(1, "Operation not permitted")

    def _change(self, call, ids, number):
        self.calls.append((call, number))
        if self.uids[1] != 0 and number not in ids:
            raise PermissionError(1, "Operation not permitted")
        saved = number if call not in self._leaky else ids[2]
        ids[:] = [number, number, saved]


def test_groups_go_first_and_the_user_last():
    """After setuid nothing else may be changed, so it is the last; then the way back is tried."""
    system = System()
    become(USER, system=system, environment={})
    assert system.calls == [
        ("initgroups", "_kevmond", 390), ("setgid", 390), ("setuid", 390),
        ("setuid", 0), ("seteuid", 0), ("setgid", 0), ("setegid", 0),
    ]  # fmt: skip
    assert (system.uids, system.gids, system.groups) == ([390] * 3, [390] * 3, [390, 12])


@pytest.mark.parametrize("leak", ["setuid", "setgid", "initgroups"])
def test_a_way_back_to_root_ends_the_daemon(leak):
    """A saved user or group of root's, or a group left over, is found by trying, and fatal."""
    with pytest.raises(PrivilegeError, match=r"root's rights are not gone after becoming _kevmond"):
        become(USER, system=System(leaky=(leak,)), environment={})


def test_a_user_in_root_s_own_group_is_no_way_back():
    """Group 0 is not given up where it was asked for."""
    system = System(groups=(0,))
    become(USER._replace(gid=0), system=system, environment={})
    assert ("setgid", 0) not in system.calls[3:]


def test_a_refusal_of_the_system_is_told():
    """Without the right to change, the error says what to do."""
    system = System()
    system.uids = [501, 501, 501]
    with pytest.raises(
        PrivilegeError, match=r"not permitted on the way to _kevmond; start kevmond as"
    ):
        become(USER, system=system, environment={})


def test_the_environment_is_the_user_s():
    """What named root and its folders names the user, or is gone; all else stays."""
    environment = {
        "HOME": "/var/root", "USER": "root", "LOGNAME": "root", "SHELL": "/bin/sh",
        "XDG_CONFIG_HOME": "/var/root/c", "XDG_STATE_HOME": "/var/root/s", "TMPDIR": "/var/root/t",
        "MAIL": "/var/mail/root", "PATH": "/usr/bin", "TOKEN": "s3cret",
    }  # fmt: skip
    become(USER, system=System(), environment=environment)
    assert environment == {
        "HOME": "/var/empty", "USER": "_kevmond", "LOGNAME": "_kevmond", "SHELL": "/usr/bin/false",
        "PATH": "/usr/bin", "TOKEN": "s3cret",
    }  # fmt: skip


def test_an_account_is_looked_up():
    """A user has the group of the system's databases unless another is named."""
    me = pwd.getpwuid(os.geteuid())
    assert account(me.pw_name, None)[:3] == (me.pw_name, me.pw_uid, me.pw_gid)
    other = next(group for group in grp.getgrall() if group.gr_gid != me.pw_gid)
    assert account(me.pw_name, other.gr_name).gid == other.gr_gid


@pytest.mark.parametrize(
    ("user", "group", "told"),
    [
        ("kevmond-none", None, 'daemon.user: there is no user "kevmond-none" here'),
        ("root", "kevmond-none", 'daemon.group: there is no group "kevmond-none" here'),
    ],
)
def test_an_unknown_name_is_told_with_its_key(user, group, told):
    """The key, the name, and what to do."""
    with pytest.raises(ConfigError, match=told):
        account(user, group)
