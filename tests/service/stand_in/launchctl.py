"""Stands in for launchctl(1): keeps its state in a file, records every call, plays set answers.

    KEVMOND_TEST_LAUNCHD=FOLDER launchctl WORD ...

Exit codes and texts are those of macOS as its users report them.
"""

import json
import os
import plistlib
import sys
from pathlib import Path

FOLDER = Path(os.environ["KEVMOND_TEST_LAUNCHD"])
NESTED = """\
\tenvironment = {
\t\tstate = nested, to be passed over
\t\tpid = 1
\t}

\tendpoints = {
\t\t"x" = {
\t\t\tactive count = 1
\t\t\tstate = active
\t\t}
\t}
"""


def refuse(code, text, *, out=""):
    """End as launchctl does when launchd says no."""
    sys.stdout.write(out)
    sys.stderr.write(text + "\n")
    sys.exit(code)


def not_found(target):
    """End as for a service that is not loaded."""
    domain, _, label = target.rpartition("/")
    text = f'Bad request.\nCould not find service "{label}" in domain for {domain}'
    refuse(113, text)


def bootstrap(state, domain, plist):
    """Load a service."""
    job = plistlib.loads(Path(plist).read_bytes())
    target = f"{domain}/{job['Label']}"
    if target in state["disabled"]:
        refuse(5, "Bootstrap failed: 5: Input/output error")
    if target in state["services"]:
        refuse(37, "Bootstrap failed: 37: Operation already in progress")
    state["services"][target] = {
        "path": plist,
        "arguments": job["ProgramArguments"],
        "timeout": job.get("ExitTimeOut", 5),
        "throttle": job.get("ThrottleInterval", 10),
        "pid": state["next"],
        "runs": 1,
        **state["fate"],
    }
    state["next"] += 1


def bootout(state, target):
    """Unload a service."""
    if state["services"].pop(target, None) is None:
        refuse(3, "Boot-out failed: 3: No such process")


def kickstart(state, *words):
    """Start a service, or start it again."""
    service = state["services"].get(words[-1]) or not_found(words[-1])
    if "-k" in words and service["pid"] is not None:
        service["signal"] = "Terminated: 15"
        service["pid"] = None
    if service["pid"] is None:
        service.update({"pid": state["next"], "runs": service["runs"] + 1, **state["fate"]})
        state["next"] += 1


def show(state, target):
    """Print a service."""
    service = state["services"].get(target) or not_found(target)
    running = service["pid"] is not None
    rows = [
        f"active count = {int(running)}",
        f"path = {service['path']}",
        f"type = {'LaunchDaemon' if target.startswith('system') else 'LaunchAgent'}",
        f"state = {service.get('state') or ('running' if running else 'not running')}",
        "",
        f"program = {service['arguments'][0]}",
        "arguments = {",
        *(f"\t{word}" for word in service["arguments"]),
        "}",
        "",
    ]
    sys.stdout.write(f"{target} = {{\n" + "".join(f"\t{row}\n" for row in rows) + NESTED)
    rows = [
        f"minimum runtime = {service['throttle']}",
        f"exit timeout = {service['timeout']}",
        f"runs = {service['runs']}",
        *([f"pid = {service['pid']}"] if running else []),
        *(
            []
            if "signal" in service
            else [f"last exit code = {service.get('exit', '(never exited)')}"]
        ),
        *([f"last terminating signal = {service['signal']}"] if "signal" in service else []),
        "spawn type = daemon (3)",
        "properties = runatload | inferred program",
    ]
    sys.stdout.write("".join(f"\t{row}\n" for row in rows) + "}\n")


def print_disabled(state, domain):
    """Print what is disabled in a domain, and what is not."""
    rows = [
        f'\t\t"{target.removeprefix(domain + "/")}" => disabled'
        for target in state["disabled"]
        if target.startswith(domain)
    ]
    rows.append('\t\t"com.example.other" => enabled')
    sys.stdout.write("\n\tdisabled services = {\n" + "\n".join(rows) + "\n\t}\n")


def enable(state, target):
    """Let a service be loaded."""
    if target in state["disabled"]:
        state["disabled"].remove(target)


def disable(state, target):
    """Keep a service from being loaded."""
    state["disabled"].append(target)


def kill(state, _signal, target):
    """Signal a service."""
    if target not in state["services"]:
        refuse(3, "Could not signal service: 3: No such process")


WORDS = {
    "bootstrap": bootstrap,
    "bootout": bootout,
    "kickstart": kickstart,
    "print": show,
    "print-disabled": print_disabled,
    "enable": enable,
    "disable": disable,
    "kill": kill,
}


def main(word, *rest):
    """Record the call, play an answer that was set, or do what is asked."""
    with (FOLDER / "calls").open("a") as file:
        file.write(json.dumps([word, *rest]) + "\n")
    path = FOLDER / "state.json"
    state = json.loads(path.read_text())
    answers = state["answers"].get(word)
    answer = answers.pop(0) if answers else None
    try:
        if answer is None:
            WORDS[word](state, *rest)
    finally:
        path.write_text(json.dumps(state))
    if answer is not None:
        refuse(answer[0], answer[1], out=answer[2])


if __name__ == "__main__":
    main(*sys.argv[1:])
