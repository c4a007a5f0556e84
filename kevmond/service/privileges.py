"""Root given up, once and for good: the user that a daemon goes on as.

The order is the one in which each step is still allowed: supplementary groups, group, user.  As
root, setuid(2) sets the real, the effective and the saved user on Linux and macOS alike, so that
there is no way back; that is tried, too.  Nothing that kevmond does needs root but a kernel control
registered as privileged, such as utun: its connect(2) is refused with EPERM from then on.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kevmond.errors import ConfigError, KevmondError

if TYPE_CHECKING:
    from collections.abc import MutableMapping

_OF_ROOT: Final = ("MAIL", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
_OF_ROOT_TOO: Final = ("XDG_RUNTIME_DIR", "XDG_STATE_HOME")
"""Variables that name folders of the user before."""


class PrivilegeError(KevmondError):
    """Root could not be given up, so the daemon must not go on."""


class Account(NamedTuple):
    """A user with one group."""

    name: str
    uid: int
    gid: int
    home: str
    shell: str


def account(user: str, group: str | None) -> Account:
    """Look up daemon.user and daemon.group; ConfigError names the key of what is not there."""
    import grp  # noqa: PLC0415 - only a daemon that changes its user
    import pwd  # noqa: PLC0415 - as above

    try:
        found = pwd.getpwnam(user)
    except KeyError:
        raise ConfigError(
            f'daemon.user: there is no user "{user}" here; make it, or name one that `id` knows'
        ) from None
    if group is None:
        gid = found.pw_gid
    else:
        try:
            gid = grp.getgrnam(group).gr_gid
        except KeyError:
            raise ConfigError(
                f'daemon.group: there is no group "{group}" here; without this key it is the '
                f"user's own"
            ) from None
    return Account(found.pw_name, found.pw_uid, gid, found.pw_dir, found.pw_shell)


def become(
    account: Account,
    *,
    system: Any = os,
    environment: MutableMapping[str, str] = os.environ,
) -> None:
    """Go on as a user for good; PrivilegeError if that is not so in the end.

    `system` has the calls of `os`.  The environment then tells of the user, not of root.
    """
    try:
        system.initgroups(account.name, account.gid)
        system.setgid(account.gid)
        system.setuid(account.uid)
    except OSError as error:
        raise PrivilegeError(
            f"daemon.user: {error.strerror} on the way to {account.name}; start kevmond as root, "
            "or leave this key out"
        ) from error
    _check(account, system)
    environment.update(
        HOME=account.home, USER=account.name, LOGNAME=account.name, SHELL=account.shell
    )
    for name in (*_OF_ROOT, *_OF_ROOT_TOO):
        environment.pop(name, None)


def _check(account: Account, system: Any) -> None:
    """Make sure that nothing of root is left, by looking and by trying."""
    now = (system.getuid(), system.geteuid(), system.getgid(), system.getegid())
    left = now != (account.uid, account.uid, account.gid, account.gid)
    allowed = {account.gid, *system.getgrouplist(account.name, account.gid)}
    left = left or not allowed.issuperset(system.getgroups())
    for back in (system.setuid, system.seteuid, system.setgid, system.setegid):
        group = back in {system.setgid, system.setegid}
        if group and account.gid == 0:
            continue
        try:
            back(0)
        except PermissionError:
            continue
        left = True
    if left:
        raise PrivilegeError(
            f"root's rights are not gone after becoming {account.name}; kevmond does not go on"
        )
