"""Work on files that can be stopped from another thread, and that tells how far it is.

Whoever starts the work wraps it in `stoppable`; what reads and writes asks `ask_stop` between
pieces and says `tell_share`. Outside such a block neither does anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from napari_xce.errors import ExchangeError

#: Asked and told between pieces of work, on the thread that works.
_stop: ContextVar[Callable[[], bool]] = ContextVar("stop", default=lambda: False)
_tell: ContextVar[Callable[[float | None], None]] = ContextVar("tell", default=lambda share: None)


class Stopped(ExchangeError):
    """The work was stopped; nothing is left of it."""


@contextmanager
def stoppable(
    stop: Callable[[], bool], tell: Callable[[float | None], None] = lambda share: None
) -> Iterator[None]:
    """Make what this thread reads and writes in the block stop when `stop` returns True.

    Parameters
    ----------
    stop : callable
    tell : callable, optional
        Called with the share of the work done, in [0, 1]; with None where it is not known.

    Raises
    ------
    Stopped
        At the next piece, or at the latest in place of the last step.
    """
    stopping, telling = _stop.set(stop), _tell.set(tell)
    try:
        yield
    finally:
        _stop.reset(stopping)
        _tell.reset(telling)


def ask_stop(words: str) -> None:
    """Go on, or raise `Stopped` with these words where the work is to stop."""
    if _stop.get()():
        raise Stopped(words)


def tell_share(share: float | None) -> None:
    """Tell whoever wants to know how much of the work is done, in [0, 1]; None: unknown."""
    _tell.get()(share)
