"""Members of a group that may ask, beside the daemon's own user and root."""

import asyncio
import grp
import os
import stat

import pytest

from kevmond.api import server as module
from kevmond.api.client import ApiUnreachable
from kevmond.api.listener import SOCKET, ApiError, Group, Listener, find_group
from kevmond.api.peer import Peer
from kevmond.api.settings import ApiSettings

OURS = grp.getgrgid(os.getegid())


@pytest.fixture
def outsider(monkeypatch):
    """Make every caller somebody else's process, with the groups that are given."""

    def outsider(*groups):
        monkeypatch.setattr(module, "peer_of", lambda connection: Peer(4242, 99, groups))
        monkeypatch.setattr(os, "geteuid", lambda: 1000)

    return outsider


def modes(folder):
    """Return mode and group of the socket, and mode of its folder."""
    found = (folder / SOCKET).stat()
    return stat.S_IMODE(found.st_mode), found.st_gid, stat.S_IMODE(folder.stat().st_mode)


def test_group_is_found_by_its_name():
    """One that is not there is named, with the key of the setting."""
    assert find_group(OURS.gr_name) == (OURS.gr_name, OURS.gr_gid)
    with pytest.raises(ApiError, match=r"api\.group: there is no group 'no-such-group'"):
        find_group("no-such-group")


async def test_group_gets_the_socket_and_a_way_to_it(server, folder):
    """Members may connect and pass through the folder, not list it; without a group, nobody."""
    folder.chmod(0o700)
    assert modes(folder) == (0o600, os.getegid(), 0o700)
    assert await server.apply(ApiSettings(group=OURS.gr_name)) == []
    assert modes(folder) == (0o660, OURS.gr_gid, 0o710)
    assert server.facts()["group"] == OURS.gr_name
    assert await server.apply(ApiSettings()) == []
    assert modes(folder)[0] == 0o600
    assert server.facts()["group"] is None


async def test_group_gets_a_socket_that_could_not_be_made_at_first(server, folder, log):
    """A reload that makes the socket opens it to the group as well."""
    await server.aclose()
    settings = ApiSettings(group=OURS.gr_name)
    late = module.ApiServer(folder / SOCKET, None, log=log, settings=settings)
    (folder / SOCKET).write_text("in the way")
    await late.start()
    (folder / SOCKET).unlink()
    assert await late.apply(settings) == []
    assert modes(folder)[:2] == (0o660, OURS.gr_gid)
    await late.aclose()


async def test_unknown_group_leaves_the_socket_private(server, folder, log):
    """It is said at the start and at each reload, and everything else is served."""
    told = ["api.group: there is no group 'no-such-group' on this machine"]
    assert await server.apply(ApiSettings(group="no-such-group")) == told
    assert modes(folder)[0] == 0o600
    assert [facts["error"] for _, facts in log.lines] == told


def test_group_that_we_may_not_give_it_to_is_said(folder, monkeypatch):
    """Who is not a member of the group cannot give it a socket."""
    made = Listener(folder / SOCKET)

    def refuse(*args):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refuse)
    with pytest.raises(ApiError, match=r"to the group x \(EPERM\); the daemon's user has to be"):
        made.open_to(Group("x", 1))
    assert modes(folder)[0] == 0o600
    made.close()


@pytest.mark.parametrize("mode", [0o711, 0o755])
def test_folder_that_all_can_pass_stays_as_it_is(folder, mode):
    """Nothing is changed about a folder that needs no change."""
    made = Listener(folder / SOCKET)
    folder.chmod(mode)
    made.open_to(Group("x", os.getegid()))
    assert modes(folder) == (0o660, os.getegid(), mode)
    made.close()


def test_folder_of_another_group_is_not_taken_from_it(folder, monkeypatch):
    """What its own group uses is not given to another without being asked."""
    made = Listener(folder / SOCKET)
    folder.chmod(0o770)
    monkeypatch.setattr(os, "chown", lambda *args: None)
    with pytest.raises(ApiError, match="give the folder to that group, or let every user"):
        made.open_to(Group("x", os.getegid() + 1))
    assert modes(folder) == (0o600, os.getegid(), 0o770)
    made.close()


async def test_member_may_ask(ask, server, outsider, log):
    """Whose process has the group is answered."""
    await server.apply(ApiSettings(group=OURS.gr_name))
    outsider(20, OURS.gr_gid)
    assert (await ask("GET"))["name"] == "kevmond"
    assert log.lines == []


async def test_member_by_the_databases_may_ask(ask, server, outsider, monkeypatch):
    """Where the kernel tells no more than some of the groups, the rest are looked up."""
    await server.apply(ApiSettings(group=OURS.gr_name))
    outsider(20_000)
    asked = []
    monkeypatch.setattr(module, "is_member", lambda *args: asked.append(args) or True)
    assert (await ask("GET"))["name"] == "kevmond"
    assert asked == [(4242, OURS.gr_gid)]


async def test_others_are_refused_and_told_of_the_group(ask, server, outsider, log):
    """The log names user and group, once."""
    await server.apply(ApiSettings(group=OURS.gr_name))
    outsider(20_000)
    for _ in range(2):
        with pytest.raises(ApiUnreachable, match="belong to another user"):
            await ask("GET")
    ((text, facts),) = log.lines
    assert text.endswith(f"only this daemon's user, root, and the group {OURS.gr_name} may ask")
    assert facts == {"uid": 4242, "pid": 99}


async def test_group_no_longer_set_is_refused(ask, server, outsider):
    """A reload that drops the group drops its members."""
    await server.apply(ApiSettings(group=OURS.gr_name))
    await server.apply(ApiSettings())
    outsider(OURS.gr_gid)
    with pytest.raises(ApiUnreachable):
        await ask("GET")


async def test_slow_databases_hold_up_nobody_else(ask, server, outsider, monkeypatch, until):
    """A directory service that does not answer is waited for beside the loop."""
    await server.apply(ApiSettings(group=OURS.gr_name))
    loop, gate = asyncio.get_running_loop(), asyncio.Event()
    asked = asyncio.Event()

    def slow(*args):
        loop.call_soon_threadsafe(asked.set)
        asyncio.run_coroutine_threadsafe(gate.wait(), loop).result(30)
        return True

    monkeypatch.setattr(module, "is_member", slow)
    outsider(20_000)
    waiting = asyncio.ensure_future(ask("GET"))
    async with asyncio.timeout(30):
        await asked.wait()
    outsider(OURS.gr_gid)
    assert (await ask("GET"))["name"] == "kevmond"
    gate.set()
    assert (await waiting)["name"] == "kevmond"
