"""The tree of errors that kevmond raises, each telling its reader what to do.

    KevmondError                 everything below; its text is fit to show to a user
    ├── ConfigError              a setting is wrong: names the file and the key
    ├── FilterError              a filter rule cannot be understood: names the rule
    ├── KernelError (OSError)    a kernel call failed: names the call and the errno symbol
    │   └── KernelGone           the kernel behind a socket went away (a simulated one stopped)
    ├── RecordingError           a recording cannot be read: names the file and the line
    │   └── StoryError           a story cannot be read: names the file and the key
    ├── JournalError             the journal cannot be used: names the file
    └── SinkError                a sink could not deliver
        ├── RetryableError       try the same batch again, after `after` seconds if given
        │   └── UnreachableError nothing could be tried: no network, no route; costs no patience
        └── PermanentError       this batch will never be taken: count it and go on
            └── GoneError        the receiver wants no more of anything: stop the sink

Bytes from the kernel never raise: see `kevmond.events.decoder`.
"""

from __future__ import annotations

import errno


class KevmondError(Exception):
    """Base of all errors of kevmond; `str()` of it is one line a user can act on."""


class ConfigError(KevmondError):
    """A setting is wrong."""


class FilterError(KevmondError):
    """A filter rule cannot be understood."""


class KernelError(KevmondError, OSError):
    """A call on the kernel boundary failed.

    `symbol` is Darwin's errno name ("ENOTSUP"), which is what counts: numbers differ between
    systems (sys/errno.h).  `errno` is this host's number for it, where it has one.
    """

    def __init__(self, call: str, symbol: str, hint: str = "") -> None:
        number = getattr(errno, symbol, 0)
        super().__init__(number, f"{call}: {symbol}" + (f" ({hint})" if hint else ""))
        self.call = call
        self.symbol = symbol

    def __str__(self) -> str:
        return str(self.strerror)


class KernelGone(KernelError):  # noqa: N818 - a state of the world, not a mistake
    """The kernel behind an open socket went away; only a simulated kernel can do that."""


class RecordingError(KevmondError):
    """A recording cannot be read."""


class StoryError(RecordingError):
    """A story (a scenario for the simulated kernel) cannot be read."""


class JournalError(KevmondError):
    """The journal cannot be used."""


class SinkError(KevmondError):
    """A sink could not deliver."""

    excerpt: str | None = None
    """What the receiver answered, cut short; set by the sink, kept with what is not delivered."""


class RetryableError(SinkError):
    """The same batch may be taken later; `after` is the wait in seconds the receiver asked for."""

    def __init__(self, message: str, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


class UnreachableError(RetryableError):
    """Nothing could be tried (no network, no route): the batch waits, and grows no older by it."""


class PermanentError(SinkError):
    """This batch will never be taken, so trying again is useless.

    `count` is how many records from its front this is about; None: all of them.
    """

    def __init__(self, message: str, count: int | None = None) -> None:
        super().__init__(message)
        self.count = count


class GoneError(PermanentError):
    """The receiver wants nothing any more: the sink is disabled, and the batch stays its own."""
