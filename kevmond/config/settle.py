"""The daemon settling down: its state folder, and the user it goes on as."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kevmond.config.loader import secrets
from kevmond.errors import ConfigError
from kevmond.service.handover import make_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kevmond.config.loader import Loaded
    from kevmond.config.settings import Settings
    from kevmond.service.privileges import Account

_LATER: Final = ("aiohttp", "click", "email", "kevmond", "pydantic")
"""Packages of which a running daemon loads parts later: its own, others', and Python's."""


def settle(loaded: Loaded, load: Callable[[Path], Loaded]) -> Loaded:
    """Make the state folder and, as root with daemon.user, go on as that user.

    Returns the configuration in force: read anew by the user if there was a change, because every
    reload will be.  Raises ConfigError with one line for every reason why that cannot be.
    """
    settings = loaded.settings.daemon
    if settings.user is None:
        make_folder(settings.state_dir)
        return loaded
    where = loaded.path or "built-in configuration"
    try:
        return _settle(loaded, load, settings.user)
    except ConfigError as error:
        lines = (f"{where}: {line.removeprefix(f'{where}: ')}" for line in str(error).splitlines())
        raise ConfigError("\n".join(lines)) from error


def _settle(loaded: Loaded, load: Callable[[Path], Loaded], user: str) -> Loaded:
    from kevmond.service import privileges  # noqa: PLC0415 - only a daemon that changes its user
    from kevmond.service.handover import StateNames, hand_over  # noqa: PLC0415 - as above

    settings = loaded.settings
    state_dir = settings.daemon.state_dir
    account = privileges.account(user, settings.daemon.group)
    if os.geteuid() == account.uid:
        make_folder(state_dir)
        return loaded
    if os.geteuid() != 0:
        raise ConfigError(
            f"daemon.user: only root can go on as {user}; start kevmond by sudo, or leave this key "
            "out, and UserName in launchd's job has it started as the right user"
        )
    _check_place(loaded.path, state_dir, account)
    make_folder(state_dir)
    hand_over(state_dir, StateNames(state_dir, _files(settings)), account)
    needed = [each for each in _needed(loaded, account.name) if os.access(each[0], os.R_OK)]
    privileges.become(account)
    problems = [line for path, line in needed if not os.access(path, os.R_OK)]
    if not os.access(state_dir, os.R_OK | os.W_OK | os.X_OK):
        problems.append(
            f"daemon.state_dir: {account.name} cannot get into {state_dir}; let it pass through "
            "the folders above (chmod o+x), or name another by --state-dir"
        )
    if problems:
        raise ConfigError("\n".join(problems))
    if loaded.path is None or not loaded.path.is_file():
        return loaded
    os.environ["KEVMOND_CONFIG"] = str(loaded.path)  # not the user's own, should it have one
    return load(state_dir)


def _check_place(config: Path | None, state_dir: Path, account: Account) -> None:
    """Refuse a configuration in the folder that the user will own: it could replace it."""
    if config is not None and config.resolve().parent.is_relative_to(state_dir.resolve()):
        raise ConfigError(
            f"daemon.user: this file lies in daemon.state_dir ({state_dir}), which is to belong to "
            f"{account.name}; keep it where only root may write, such as /etc/kevmond, or name "
            "another daemon.state_dir"
        )


def _files(settings: Settings) -> Iterator[Path]:
    """Paths of what a daemon writes into its state folder."""
    from kevmond.api.listener import SOCKET  # noqa: PLC0415 - only a daemon that changes its user
    from kevmond.sinks.roll import COPY  # noqa: PLC0415 - as above

    state_dir = settings.daemon.state_dir
    yield from (state_dir / SOCKET, state_dir / COPY, state_dir / "secrets/webhook")
    yield settings.journal.path
    for sink in settings.sinks.values():
        yield from (value for value in vars(sink).values() if isinstance(value, Path))


def _needed(loaded: Loaded, user: str) -> Iterator[tuple[Path, str]]:
    """Files that root can read and that the user will have to, with what to say if it cannot."""
    from importlib.util import find_spec  # noqa: PLC0415 - only a daemon that changes its user

    if loaded.path is not None:
        told = (
            f"daemon.user: {user} cannot read this file, and has to at every reload; it holds no "
            f"secrets, so: sudo chmod a+r {shlex.quote(str(loaded.path))}, and its folder a+x"
        )
        yield loaded.path, told
    for key, secret in secrets(loaded.settings):
        if secret.path is not None:
            told = (
                f"{'.'.join(key)}: {user} (daemon.user) cannot read {secret.path}: "
                f"sudo chown {user} {shlex.quote(str(secret.path))}"
            )
            yield secret.path, told
    for name in _LATER:
        spec = find_spec(name)
        if spec is not None and spec.origin is not None:
            told = (
                f"daemon.user: {user} cannot read kevmond's own program ({spec.origin}); install "
                "it where everybody may, by `pipx install --global` for one"
            )
            yield Path(spec.origin), told
