"""Rules of the old IPv4 firewall, until macOS 10.15 (netinet/ip_fw2.c); no payload."""

from typing import Final

from kevmond.events.kinds import Code, Family

FAMILY: Final = Family(
    5,
    1,
    (
        Code(
            1,
            "add",
            "KEV_IPFW_ADD",
            "An IPv4 firewall rule was added.",
            xnu="xnu-1228",
            macos="10.5",
            status="removed",
            last="last in xnu-6153 (10.15)",
            posted_by="bsd/netinet/ip_fw2.c:ipfw_kev_post_msg @ xnu-6153",
        ),
        Code(
            2,
            "delete",
            "KEV_IPFW_DEL",
            "A rule was deleted.",
            xnu="xnu-1228",
            macos="10.5",
            status="removed",
            last="last in xnu-6153 (10.15)",
            posted_by="bsd/netinet/ip_fw2.c:ipfw_kev_post_msg @ xnu-6153",
        ),
        Code(
            3,
            "flush",
            "KEV_IPFW_FLUSH",
            "Rules were flushed.",
            xnu="xnu-1228",
            macos="10.5",
            status="removed",
            last="last in xnu-6153 (10.15)",
            posted_by="bsd/netinet/ip_fw2.c:ipfw_kev_post_msg @ xnu-6153",
        ),
        Code(
            4,
            "enable",
            "KEV_IPFW_ENABLE",
            "The enable setting was written.",
            xnu="xnu-1228",
            macos="10.5",
            status="removed",
            last="last in xnu-6153 (10.15)",
            posted_by="bsd/netinet/ip_fw2.c:ipfw_kev_post_msg @ xnu-6153",
        ),
    ),
)
