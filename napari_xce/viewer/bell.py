"""A bell that any thread may pull, and that rings on the GUI's thread: how the engine says that
there is something to fetch, so that nobody has to wait for the next tick of a timer.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from qtpy.QtCore import QObject, Qt, QTimer, Signal

#: Seconds between two rings; what is pulled in between rings once, at their end.
PAUSE_SECONDS = 0.015


class Bell(QObject):
    """Calls back on the thread that made it.

    Parameters
    ----------
    ring : callable
        Called soon after a pull, at once if the last ring was long enough ago.
    parent : QObject
        With which it goes.
    """

    _pulled = Signal()

    def __init__(self, ring: Callable[[], None], parent: QObject) -> None:
        super().__init__(parent)
        self._ring = ring
        self._rung = -PAUSE_SECONDS
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.timeout.connect(self._ring_now)
        self._pulled.connect(self._hear, Qt.ConnectionType.QueuedConnection)

    def pull(self) -> None:
        """Have it rung; any thread. Nothing happens once the window has gone."""
        with contextlib.suppress(RuntimeError):  # Qt has deleted it already
            self._pulled.emit()

    def _hear(self) -> None:
        wait = self._rung + PAUSE_SECONDS - time.monotonic()
        if wait <= 0:
            self._ring_now()
        elif not self._later.isActive():
            self._later.start(max(1, round(1000 * wait)))

    def _ring_now(self) -> None:
        self._ring()
        self._rung = time.monotonic()
