"""What fails in the engine: told once, in words, and not tried again before something changes.

Owned by the engine's thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from napari_xce.engine.messages import Failed, Message
from napari_xce.errors import XceError
from napari_xce.learning.memory import TileKey
from napari_xce.session import Session

log = logging.getLogger(__name__)


class Failures:
    """Do work that may fail, and remember what did.

    Parameters
    ----------
    session : Session
    tell : callable
        Takes each message.

    Attributes
    ----------
    broken : dict
        Tiles that failed since something changed, and the revision that tried each.
    """

    def __init__(self, session: Session, tell: Callable[[Message], None]) -> None:
        self._session = session
        self._tell = tell
        self._told: set[str] = set()
        self.broken: dict[TileKey, int] = {}

    def guarded(self, work: Callable[[], object]) -> bool:
        """Do something; a failure is told in words and ends nothing but that."""
        try:
            work()
        except Exception as error:  # noqa: BLE001 - the edge of the thread
            self._tell_failure(error)
            return False
        return True

    def on_tile(self, key: TileKey, work: Callable[[], object]) -> bool:
        """Do something with a tile; one that fails is not tried again by this revision."""
        if self.guarded(work):
            return True
        self.broken[key] = self._session.model_revision
        return False

    def forget_tiles(self) -> None:
        """Try every tile anew."""
        self.broken.clear()

    def tell_again(self) -> None:
        """Tell each failure anew, also in words that were told before: the user asked for it."""
        self._told.clear()

    def _tell_failure(self, error: Exception) -> None:
        """Tell the user; the same sentence once, until the user asks for something."""
        words = str(error)
        if not isinstance(error, XceError):
            log.error("the engine met an unexpected error", exc_info=error)
            words = f"Unexpected error: {error}. Your annotations are safe; details are in the log."
        if words not in self._told and not self._session.closed:
            self._told.add(words)
            self._tell(Failed(words))
