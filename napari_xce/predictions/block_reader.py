"""Blocks of tiles through the network, while those after them are read and those before are stored.

Neighbouring tiles make a block, so that less is read and looked at twice: at 3 x 3 the border
around what is owned costs about a quarter of what it costs a tile alone. Several blocks go at once:
as one batch on a GPU, each in a thread of its own on a processor. As soon as one is done it is
handed out, and the next takes its place: no thread waits for another one's block.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import groupby, pairwise
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_xce.errors import SlideError
from napari_xce.learning.devices import Device, compute_alone
from napari_xce.predictions.predictor import SlideAtWork
from napari_xce.predictions.tiles import Tile

#: Tiles on a side of a block, about. More would save little, and let a click wait for a run.
BLOCK = 3

Block: TypeAlias = tuple[Tile, ...]
Batch: TypeAlias = tuple[list[Block], NDArray[np.uint8]]
"""Blocks, and their windows, uint8, shape (B, H, W, 3)."""
R = TypeVar("R")


def blocks_of(tiles: Iterable[Tile]) -> list[Block]:
    """Group tiles into blocks of neighbours, in rows of blocks; each tile is in one block.

    What lies side by side is cut evenly, so that no block is but a strip of what is left over.
    """
    rows: dict[int, list[int]] = {}
    for row, column in sorted(tiles):
        rows.setdefault(row, []).append(column)
    blocks = []
    for band in _cut(rows):
        for part in _cut({column for row in band for column in rows[row]}):
            held = [(row, column) for row in band for column in rows[row] if column in part]
            blocks.append(tuple(held))
    return blocks


def _cut(places: Iterable[int]) -> list[list[int]]:
    """Cut each run of places side by side into parts of about ``BLOCK``, none much smaller."""
    parts = []
    for _, run in groupby(enumerate(sorted(places)), lambda numbered: numbered[1] - numbered[0]):
        side_by_side = [place for _, place in run]
        n = max(1, round(len(side_by_side) / BLOCK))
        ends = [len(side_by_side) * k // n for k in range(n + 1)]
        parts += [side_by_side[a:b] for a, b in pairwise(ends)]
    return parts


class _Begun(NamedTuple):
    """Blocks at work, and what will be said of them."""

    blocks: list[Block]
    future: Future[Any]


class BlockReader:
    """Hand tiles out by blocks, predicted; a context manager, owned by one thread.

    Parameters
    ----------
    work : SlideAtWork
    tiles : iterable of tile
        Each is handed out once.
    device : Device
        Where they will be predicted.
    """

    def __init__(self, work: SlideAtWork, tiles: Iterable[Tile], device: Device) -> None:
        self.work = work
        at_once = device.at_once
        self._in_one_batch = device.name == "cuda"
        # `at_once` windows of a GPU's batch are smaller ones, which take as much of its memory
        self._batch_size = max(1, at_once // 2) if self._in_one_batch else 1
        workers = 1 if self._in_one_batch else at_once
        # one waits for the thread that is done first; a single one would go on after a click
        self._most_begun = 1 if at_once == 1 else workers + 1
        self._most_ahead = max(2, workers * self._batch_size)
        self._left = deque(blocks_of(tiles))
        self._ahead: deque[tuple[Block, Future[NDArray[np.uint8]]]] = deque()
        self._begun: list[_Begun] = []
        self._state: object = None
        readers = at_once if self._in_one_batch else 1 + at_once // 8
        self._pool = ThreadPoolExecutor(readers, thread_name_prefix="xce-read")
        self._workers = ThreadPoolExecutor(
            workers, thread_name_prefix="xce-predict", initializer=compute_alone
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def tiles_left(self) -> int:
        """How many tiles were not handed out yet."""
        begun = (block for batch in self._begun for block in batch.blocks)
        ahead = (block for block, _ in self._ahead)
        return sum(len(block) for block in [*self._left, *ahead, *begun])

    def next(self, predict: Callable[[Batch], R], state: object) -> R:
        """Return what `predict` says of some of the blocks that are left: those done first.

        Parameters
        ----------
        predict : callable
            Called on a batch in a thread that computes alone, also ahead of the next call.
        state : object
            What the answer depends on. What was begun in another state is predicted anew.

        Raises
        ------
        SlideError
            A tile cannot be read. It was handed out by that; the next call goes on. The neighbours
            in its block are tried alone.
        """
        if state != self._state:
            self._state = state
            outdated = [block for batch in self._begun for block in batch.blocks]
            self._begun.clear()
            self._put_first(outdated)
        self._begin(predict)
        wait([batch.future for batch in self._begun], return_when=FIRST_COMPLETED)
        done = next(k for k, batch in enumerate(self._begun) if batch.future.done())
        answer: R = self._begun.pop(done).future.result()
        return answer

    def _begin(self, predict: Callable[[Batch], R]) -> None:
        """Set the threads to work on what comes next."""
        while len(self._begun) < self._most_begun and (self._left or self._ahead):
            batch = self._read()
            if batch is None:
                return
            self._begun.append(_Begun(batch[0], self._workers.submit(predict, batch)))

    def _read(self) -> Batch | None:
        """Return the next blocks and their windows; None if those begun are to be told first.

        Raises
        ------
        SlideError
            As for `next`.
        """
        blocks: list[Block] = []
        windows: list[NDArray[np.uint8]] = []
        while len(blocks) < self._batch_size and (self._left or self._ahead):
            self._read_ahead()
            block, future = self._ahead[0]
            try:
                window = future.result()
            except SlideError:
                if len(block) == 1 and blocks:
                    break
                if len(block) == 1 and self._begun:
                    return None
                self._ahead.popleft()
                if len(block) == 1:
                    raise
                self._put_first([(tile,) for tile in block])
                continue
            if windows and window.shape != windows[0].shape:
                break
            self._ahead.popleft()
            blocks.append(block)
            windows.append(window)
        self._read_ahead()
        return blocks, windows[0][None] if len(windows) == 1 else np.stack(windows)

    def _read_ahead(self) -> None:
        """Keep some windows on their way."""
        while self._left and len(self._ahead) < self._most_ahead:
            self._submit(self._left.popleft())

    def _submit(self, block: Block) -> None:
        window = self.work.grid.window(*block)
        self._ahead.append((block, self._pool.submit(self.work.read, *window.read)))

    def _put_first(self, blocks: list[Block]) -> None:
        """Take these before those that are on their way."""
        waiting = list(self._ahead)
        self._ahead.clear()
        for block in blocks:
            self._submit(block)
        self._ahead.extend(waiting)

    def close(self) -> None:
        """Stop reading; what is on its way is dropped. Closing twice does nothing."""
        self._workers.shutdown(wait=True, cancel_futures=True)
        self._pool.shutdown(wait=True, cancel_futures=True)
        for held in (self._begun, self._ahead, self._left):
            held.clear()
