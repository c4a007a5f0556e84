"""Wi-Fi events of closed drivers, numbered after a third party's header; no layout is public.

The header is OpenIntelWireless/itlwm include/Airport/apple80211_var.h.  Its numbers were not
checked on a machine, and its gaps are kept.
"""

from typing import Final

from kevmond.events.event import Severity
from kevmond.events.kinds import Code, Family

_WORDS: Final = {
    1: "power-changed",
    2: "ssid-changed",
    3: "bssid-changed",
    4: "link-changed",
    5: "mic-error-ucast",
    6: "mic-error-mcast",
    7: "int-mit-changed",
    8: "mode-changed",
    9: "assoc-done",
    10: "scan-done",
    11: "country-code-changed",
    12: "sta-arrive",
    13: "sta-leave",
    14: "decryption-failure",
    15: "scan-cache-updated",
    16: "internal-scan-done",
    17: "link-quality",
    18: "ibss-peer-arrived",
    19: "ibss-peer-left",
    20: "rsn-handshake-done",
    21: "bt-coex-changed",
    22: "p2p-peer-detected",
    23: "p2p-listen-complete",
    24: "p2p-scan-complete",
    25: "p2p-listen-started",
    26: "p2p-scan-started",
    27: "p2p-interface-created",
    28: "p2p-group-started",
    29: "bgscan-net-discovered",
    30: "roamed",
    31: "act-frm-tx-complete",
    32: "deauth-received",
    39: "rssi-changed",
    40: "peer-state",
    42: "awdl-availability-window-start",
    43: "awdl-availability-window-extensions-end",
    46: "awdl-sync-state-changed",
    47: "awdl-peer-presence",
    49: "reset-interface",
    50: "peer-credit-grant",
    54: "channel-switch",
    55: "driver-available",
    58: "interface-state",
    59: "link-address-changed",
    63: "bgscan-cached-network-available",
    65: "awdl-statistics",
    67: "awdl-realtime-mode-start",
    68: "awdl-realtime-mode-end",
    70: "roam-start",
    71: "roam-end",
    79: "dump-logs",
    81: "leaky-ap-statistics",
    83: "ranging-measurement-done",
    88: "awdl-dfs-csa",
    91: "tcpka-timeout",
    94: "awdl-dfs-csa-complete",
    140: "bss-steering-request-event",
    142: "awdl-hpp-statistics",
    143: "action-frame",
    144: "awdl-app-specific-info",
    146: "wsec-notification",
}

_SEVERITY: Final = {
    "mic-error-ucast": Severity.WARNING,
    "mic-error-mcast": Severity.WARNING,
    "deauth-received": Severity.NOTICE,
}


def _code(number: int, word: str) -> Code:
    return Code(
        number,
        word,
        f"APPLE80211_M_{word.upper().replace('-', '_')}",
        f"Wi-Fi: {word.replace('-', ' ')}.",
        severity=_SEVERITY.get(word, Severity.INFO),
        status="number from a third party's header",
        posted_by="IO80211Family (closed)",
        private=True,
    )


FAMILY: Final = Family(6, 1, tuple(_code(number, word) for number, word in _WORDS.items()))
