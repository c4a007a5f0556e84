"""Rules of the old IPv6 firewall, until macOS 10.15 (netinet6/ip6_fw.c); no payload."""

from typing import Final

from kevmond.events.kinds import Code, Family

FAMILY: Final = Family(
    5,
    2,
    (
        Code(
            1,
            "add",
            "KEV_IP6FW_ADD",
            "An IPv6 firewall rule was added.",
            xnu="xnu-1228",
            macos="10.5",
            status="removed",
            last="last in xnu-6153 (10.15)",
            posted_by="bsd/netinet6/ip6_fw.c:ip6fw_kev_post_msg @ xnu-6153",
        ),
        Code(
            2,
            "delete",
            "KEV_IP6FW_DEL",
            "A rule was deleted.",
            xnu="xnu-1228",
            macos="10.5",
            status="removed",
            last="last in xnu-6153 (10.15)",
            posted_by="bsd/netinet6/ip6_fw.c:ip6fw_kev_post_msg @ xnu-6153",
        ),
        Code(
            3,
            "flush",
            "KEV_IP6FW_FLUSH",
            "Rules were flushed.",
            xnu="xnu-1228",
            macos="10.5",
            status="removed",
            last="last in xnu-6153 (10.15)",
            posted_by="bsd/netinet6/ip6_fw.c:ip6fw_kev_post_msg @ xnu-6153",
        ),
        Code(
            4,
            "enable",
            "KEV_IP6FW_ENABLE",
            "The enable setting was written.",
            xnu="xnu-1228",
            macos="10.5",
            status="removed",
            last="last in xnu-6153 (10.15)",
            posted_by="bsd/netinet6/ip6_fw.c:ip6fw_kev_post_msg @ xnu-6153",
        ),
    ),
)
