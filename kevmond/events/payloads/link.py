"""What most network events begin with: the interface they are about (net/if_var.h)."""

from typing import Annotated, ClassVar

from kevmond.events import names
from kevmond.events.wire import U32, C, Enum, WirePayload
from kevmond.events.wire_text import Text


class LinkEvent(WirePayload):
    """The interface an event is about; data-link events that say no more have just this."""

    SIZE: ClassVar[int] = 24
    C_STRUCT: ClassVar[str] = "net_event_data"
    HEADER: ClassVar[str] = "bsd/net/if_var.h"

    if_family: Annotated[str, Enum(U32, names.IFNET_FAMILY), C("link_data.if_family")]
    """Family of the interface."""
    if_unit: Annotated[int, U32, C("link_data.if_unit")]
    """Unit number; the BSD name is `if_name` followed by it."""
    if_name: Annotated[str, Text(16), C("link_data.if_name")]
    """Driver name without the unit, such as "en"; at most 16 bytes, perhaps without a NUL."""

    def interface_name(self) -> str | None:
        """BSD name: driver name and unit joined; None where the kernel named no interface.

        The interface may be gone, or be another one, by the time the event is read.
        """
        return f"{self.if_name}{self.if_unit}" if self.if_name else None
