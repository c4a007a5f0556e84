"""What launchd.plist(5) of macOS 11 and later knows: every key of a job, and what it may hold.

A type is a Python type, a set of words, a dictionary of a nested table, `[x]` for an array of x,
`{str: x}` for a dictionary with keys of one's own, or a tuple of alternatives.
"""

LIMITS = dict.fromkeys(
    [
        "Core", "CPU", "Data", "FileSize", "MemoryLock", "NumberOfFiles", "NumberOfProcesses",
        "ResidentSetSize", "Stack",
    ],
    int,
)  # fmt: skip

CALENDAR = dict.fromkeys(["Minute", "Hour", "Day", "Weekday", "Month"], int)

SOCKET = {
    "SockType": {"stream", "dgram", "seqpacket"},
    "SockPassive": bool,
    "SockNodeName": str,
    "SockServiceName": (str, int),
    "SockFamily": {"IPv4", "IPv6", "IPv4v6", "IPv6v4", "Unix"},
    "SockProtocol": {"TCP", "UDP"},
    "SockPathName": str,
    "SockPathOwner": int,
    "SockPathGroup": int,
    "SockPathMode": int,
    "SecureSocketWithKey": str,
    "Bonjour": (bool, str, [str]),
    "MulticastGroup": str,
    "ReceivePacketInfo": bool,
}

KEEP_ALIVE = {
    "SuccessfulExit": bool,
    "NetworkState": bool,
    "PathState": {str: bool},
    "OtherJobEnabled": {str: bool},
    "AfterInitialDemand": bool,
    "Crashed": bool,
}

JOB = {
    "Label": str,
    "Disabled": bool,
    "UserName": str,
    "GroupName": str,
    "inetdCompatibility": {"Wait": bool, "Instances": int},
    "LimitLoadToHosts": [str],
    "LimitLoadFromHosts": [str],
    "LimitLoadToSessionType": (str, [str]),
    "LimitLoadToHardware": {str: [str]},
    "LimitLoadFromHardware": {str: [str]},
    "Program": str,
    "BundleProgram": str,
    "ProgramArguments": [str],
    "EnableGlobbing": bool,
    "EnableTransactions": bool,
    "EnablePressuredExit": bool,
    "OnDemand": bool,
    "ServiceIPC": bool,
    "KeepAlive": (bool, KEEP_ALIVE),
    "RunAtLoad": bool,
    "RootDirectory": str,
    "WorkingDirectory": str,
    "EnvironmentVariables": {str: str},
    "Umask": (int, str),
    "TimeOut": int,
    "ExitTimeOut": int,
    "ThrottleInterval": int,
    "InitGroups": bool,
    "WatchPaths": [str],
    "QueueDirectories": [str],
    "StartOnMount": bool,
    "StartInterval": int,
    "StartCalendarInterval": (CALENDAR, [CALENDAR]),
    "StandardInPath": str,
    "StandardOutPath": str,
    "StandardErrorPath": str,
    "Debug": bool,
    "WaitForDebugger": bool,
    "SoftResourceLimits": LIMITS,
    "HardResourceLimits": LIMITS,
    "Nice": int,
    "ProcessType": {"Background", "Standard", "Adaptive", "Interactive"},
    "AbandonProcessGroup": bool,
    "LowPriorityIO": bool,
    "LowPriorityBackgroundIO": bool,
    "MaterializeDatalessFiles": bool,
    "LaunchOnlyOnce": bool,
    "MachServices": {str: (bool, {"ResetAtClose": bool, "HideUntilCheckIn": bool})},
    "Sockets": {str: (SOCKET, [SOCKET])},
    "LaunchEvents": {str: {str: dict}},
    "HopefullyExitsLast": bool,
    "HopefullyExitsFirst": bool,
    "SessionCreate": bool,
    "LegacyTimers": bool,
    "AssociatedBundleIdentifiers": (str, [str]),
}


def mistakes(value, wanted=JOB, where=""):
    """Return what of a property list launchd would not know, or would take for something else."""
    if isinstance(wanted, tuple):
        found = [mistakes(value, each, where) for each in wanted]
        return [] if [] in found else found[-1]
    if isinstance(wanted, set):
        return [] if value in wanted else [f"{where}: {value!r} is none of {sorted(wanted)}"]
    kind = wanted if isinstance(wanted, type) else type(wanted)
    if type(value) is not kind:
        return [f"{where}: {value!r} is no {kind.__name__}"]
    return list(_inside(value, wanted, where))


def _inside(value, wanted, where):
    if isinstance(wanted, list):
        for item in value:
            yield from mistakes(item, wanted[0], f"{where}[]")
    elif isinstance(wanted, dict):
        for key, item in value.items():
            if key in wanted or str in wanted:
                yield from mistakes(item, wanted.get(key, wanted.get(str)), f"{where}.{key}")
            else:
                yield f"{where}.{key}: unknown"
