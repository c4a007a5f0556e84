"""`kevmond ctl`: kernel controls, to list, to ask and to talk to."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

import click

from kevmond.cli import ctl_common as common
from kevmond.cli.ctl_echo import echo
from kevmond.cli.ctl_messages import send, watch
from kevmond.cli.ctl_options import get_option, set_option
from kevmond.cli.ctl_utun import utun
from kevmond.control.sample_abi import CONTROL_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kevmond.kernel.control_base import ControlClient, ControlInfo

_KNOWN: Final = {
    "com.apple.flow-divert": "Per-app VPN: flows of programs, diverted.",
    "com.apple.net.netagent": "Network agents: what brings up networks on demand.",
    "com.apple.content-filter": "Content filters: flows shown to a program that may drop them.",
    "com.apple.packet-mangler": "Changes packets, for tests; in development kernels only.",
    "com.apple.net.rvi_control": "Remote virtual interfaces: packet traces of attached devices.",
    "com.apple.net.utun_control": "Tunnels: `kevmond ctl utun` opens one.",
    "com.apple.net.ipsec_control": "IPsec tunnel interfaces.",
    "com.apple.netsrc": "Which source address would be used for a destination.",
    "com.apple.network.statistics": "Statistics of sockets; `kevmond ctl echo` measures with it.",
    "com.apple.network.tcp_ccdebug": "Inside TCP's congestion control; one client at a time.",
    "com.apple.network.advisory": "Advice on networks, for Multipath TCP.",
    CONTROL_NAME: "kevmond's sample kernel extension.",
}


@click.group(
    epilog="""\b
Examples:
  kevmond ctl list                                    which controls are there?
  kevmond ctl info com.apple.net.utun_control         and who is connected to this one?
  kevmond ctl echo com.apple.network.statistics       how long does a round trip take?
  kevmond ctl get com.apple.net.utun_control 2        an option, by its number
  kevmond ctl set org.mklinux.nke.foo command1        the sample's first command
  kevmond ctl watch org.mklinux.nke.foo               what does it say?
  kevmond ctl utun                                    a tunnel, and what comes through it

\b
A control is named by its name, or as ID:UNIT if it has a static id.  Off a Mac all this talks to
a simulated kernel of its own; --kernel simulated:PATH to one that `kevmond simulate` serves.
"""
)
@click.option("--kernel", "spec", metavar="SOURCE", help="As of each command, for any of them.")
@click.pass_context
def command(ctx: click.Context, spec: str | None) -> None:
    """List, ask and talk to kernel controls: services of the kernel and of its extensions."""
    if spec is not None:
        ctx.default_map = {name: {"spec": spec} for name in command.commands}


@command.command(
    "list",
    epilog="""\b
Examples:
  kevmond ctl list
  kevmond ctl list --json | jq -r 'select(.clients != []) | .name'
""",
)
@common.kernel_option
@common.json_option
def list_controls(spec: str, *, as_json: bool) -> None:
    """List all registered controls: id, type, flags, functions, who is connected."""
    infos = sorted(common.open_controls(spec).controls(), key=lambda info: info.control_id)
    if as_json:
        for info in infos:
            common.emit(facts(info))
        return
    for line in _table(infos):
        click.echo(line)


@command.command(
    epilog="""\b
Examples:
  kevmond ctl info com.apple.netsrc
  kevmond ctl info 19787:7
"""
)
@click.argument("name")
@common.kernel_option
@common.json_option
def info(name: str, spec: str, *, as_json: bool) -> None:
    """Tell all about the control NAME."""
    from kevmond.errors import KernelError

    kernel = common.open_controls(spec)
    wanted = common.target(name)
    with common.told(kernel, name):
        found = [one for one in kernel.controls() if _is(one, wanted)]
        if not found:
            raise KernelError("look up", "ENOENT")
    for one in found:
        if as_json:
            common.emit(facts(one))
        else:
            for line in _details(one):
                click.echo(line)


def _is(info: ControlInfo, wanted: Any) -> bool:
    if wanted.name:
        return bool(info.name == wanted.name)
    if info.control_id != wanted.control_id:
        return False
    return info.reg_unit is None or bool(info.reg_unit == wanted.unit)


def facts(info: ControlInfo) -> dict[str, Any]:
    """Return all about a control as JSON has it."""
    return {
        "id": info.control_id,
        "name": info.name,
        "type": _type(info),
        "flags": int(info.flags),
        "flag_names": _flag_names(info),
        "privileged": info.is_privileged,
        "unit": info.reg_unit,
        "send_space": info.send_space,
        "receive_space": info.receive_space,
        "handlers": sorted(info.handlers),
        "client_count": info.client_count,
        "clients": [
            {"unit": one.unit, "pid": one.pid, "uid": one.uid, "process": _process(one)}
            for one in info.clients
        ],
        "description": _KNOWN.get(info.name),
    }


def _type(info: ControlInfo) -> str:
    return "stream" if info.is_stream else "dgram"


def _flag_names(info: ControlInfo) -> list[str]:
    from kevmond.kernel.control_abi import ControlFlag

    present = (flag for flag in ControlFlag if flag in info.flags)
    return [(flag.name or "").lower().removeprefix("reg_") for flag in present]


def _process(client: ControlClient) -> str | None:
    if client.pid is None:
        return None
    import psutil

    with contextlib.suppress(psutil.Error):
        return str(psutil.Process(client.pid).name())
    return None


def _table(infos: list[ControlInfo]) -> Iterator[str]:
    from kevmond.cli.pretty import printable, table

    heads = ("ID", "NAME", "TYPE", "WHO MAY", "SEND", "RECEIVE", "FUNCTIONS", "CLIENTS")
    rows = [
        (
            _id(info),
            printable(info.name),
            _type(info),
            "root" if info.is_privileged else "anybody",
            str(info.send_space),
            str(info.receive_space),
            " ".join(_functions(info)) or "-",
            _clients(info) or "-",
        )
        for info in infos
    ]
    for number, cells in enumerate(table((heads, *rows), right={0, 4, 5})):
        yield click.style("  ".join(cells).rstrip(), bold=number == 0)


def _id(info: ControlInfo) -> str:
    return str(info.control_id) if info.reg_unit is None else f"{info.control_id}:{info.reg_unit}"


def _functions(info: ControlInfo) -> list[str]:
    """Return what a client may do with it, in the words of this command."""
    words = {"send": "send", "send_list": "send", "getopt": "get", "setopt": "set"}
    return list(dict.fromkeys(word for name, word in words.items() if name in info.handlers))


def _clients(info: ControlInfo) -> str:
    told = [_client(one) for one in info.clients]
    missing = info.client_count - len(told)
    return ", ".join(told + ([f"{missing} more"] if missing > 0 else []))


def _client(client: ControlClient) -> str:
    if client.pid is None:
        return f"unit {client.unit}"
    name = _process(client)
    return f"unit {client.unit} by {client.pid}" + (f" {name}" if name else "")


def _details(info: ControlInfo) -> Iterator[str]:
    from kevmond.cli.pretty import printable

    yield click.style(printable(info.name), bold=True)
    if info.name in _KNOWN:
        yield f"  {_KNOWN[info.name]}\n"
    rows = {
        "id": str(info.control_id),
        "unit": "any" if info.reg_unit is None else f"{info.reg_unit} only (static)",
        "type": f"{_type(info)} socket",
        "who may": "only root" if info.is_privileged else "anybody",
        "flags": f"{int(info.flags):#x} {' '.join(_flag_names(info))}".rstrip(),
        "functions": " ".join(sorted(info.handlers)) or "none told",
        "send space": f"{info.send_space} bytes: the longest message, unless a client raises it",
        "receive space": f"{info.receive_space} bytes queued for a client, unless it raises it",
        "clients": _clients(info) or "none",
    }
    for name, value in rows.items():
        yield f"  {name:<14} {value}"


for each in (get_option, set_option, send, watch, echo, utun):
    command.add_command(each)
