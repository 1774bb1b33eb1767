"""Short jobs beside the GUI, such as an export: one after the other, each answered once.

The GUI thread starts, asks and cancels; the job itself runs on a thread of its own, which touches
no widget and no layer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event
from typing import Any

from napari_xce.exchange.stopping import Stopped, stoppable

MOMENT_SECONDS = 0.5  # a job that is over sooner is not shown


@dataclass(eq=False, slots=True)
class Job:
    """One job, and what becomes of it.

    Attributes
    ----------
    what : str
        What it does, in words: "exporting".
    show : callable
        Gets what the job returns, on the GUI thread.
    lasting : bool
        What it did stands: when Cancel comes too late, it is shown all the same.
    share : float or None
        How much is done, in [0, 1]; None where that is not known. Written by the job's thread.
    """

    what: str
    show: Callable[[Any], None]
    lasting: bool = False
    share: float | None = None
    stop: Event = field(default_factory=Event)
    since: float = field(default_factory=time.monotonic)
    future: Future[Any] = field(default_factory=Future)

    @property
    def cancelled(self) -> bool:
        """Whether it ended because it was told to, and left nothing behind."""
        return self.stop.is_set() and (self.future.exception() is not None or not self.lasting)

    def tell_share(self, share: float | None) -> None:
        """Note how much is done."""
        self.share = share


class Jobs:
    """Runs jobs and remembers them until they were answered."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._running: list[Job] = []

    def start(
        self,
        what: str,
        work: Callable[[], Any],
        show: Callable[[Any], None],
        *,
        lasting: bool = False,
    ) -> None:
        """Start a job; `show` gets what `work` returns on the thread that asks `finished`."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="xce-job")
        job = Job(what, show, lasting)
        job.future = self._pool.submit(_do, work, job.stop, job.tell_share)
        self._running.append(job)

    def finished(self) -> list[Job]:
        """Return the jobs that ended since the last call."""
        done = [job for job in self._running if job.future.done()]
        self._running = [job for job in self._running if not job.future.done()]
        return done

    def going_on(self) -> Job | None:
        """Return what has been going on for a moment; None when nothing has, or it is to stop."""
        now = time.monotonic()
        late = (job for job in self._running if now - job.since > MOMENT_SECONDS)
        return next((job for job in late if not job.stop.is_set()), None)

    def cancel(self) -> None:
        """Stop all jobs; they are finished soon, with nothing to show."""
        for job in self._running:
            job.stop.set()

    def forget(self) -> None:
        """Stop all jobs, and answer none of them: what they are about is gone."""
        self.cancel()
        self._running = []

    def close(self) -> None:
        """Wait for the running job; those that wait are dropped. May be called twice."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool, self._running = None, []


def _do(work: Callable[[], Any], stop: Event, tell_share: Callable[[float | None], None]) -> Any:
    """Do a job, which may be told to stop before it begins, or while it reads or writes a file."""
    if stop.is_set():
        raise Stopped("It was stopped before it began.")
    with stoppable(stop.is_set, tell_share):
        return work()
