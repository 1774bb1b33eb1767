"""Pixels for many tiles, read ahead in threads while the network is at work on those before.

Neighbouring tiles make a block, so that less is read and looked at twice: at 3 x 3 the border
around what is owned costs about a quarter of what it costs a tile alone. Several blocks go at once:
as one batch on a GPU, each in a thread of its own on a processor.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_xce.errors import SlideError
from napari_xce.learning.devices import Device, compute_alone
from napari_xce.predictions.predictor import SlideAtWork
from napari_xce.predictions.tiles import Tile

#: Tiles on a side of a block. With more, little is saved, and a click waits longer for a run.
BLOCK = 3

Block: TypeAlias = tuple[Tile, ...]
Batch: TypeAlias = tuple[list[Block], NDArray[np.uint8]]
"""Blocks, and their windows, uint8, shape (B, H, W, 3)."""
R = TypeVar("R")


def blocks_of(tiles: Iterable[Tile]) -> list[Block]:
    """Group tiles into blocks of neighbours, in rows of blocks; each tile is in one block."""
    blocks: dict[Tile, list[Tile]] = {}
    for row, column in sorted(tiles):
        blocks.setdefault((row // BLOCK, column // BLOCK), []).append((row, column))
    return [tuple(blocks[place]) for place in sorted(blocks)]


class BlockReader:
    """Read the windows of blocks ahead; a context manager, owned by one thread.

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
        self._at_once = device.at_once
        self._in_one_batch = device.name == "cuda"
        # `at_once` windows of a GPU's batch are smaller ones, which take as much of its memory
        self._a_piece = max(1, self._at_once // 2) if self._in_one_batch else self._at_once
        self._left = deque(blocks_of(tiles))
        self._ahead: deque[tuple[Block, Future[NDArray[np.uint8]]]] = deque()
        readers = self._at_once if self._in_one_batch else 1 + self._at_once // 8
        self._pool = ThreadPoolExecutor(readers, thread_name_prefix="xce-read")
        self._workers = ThreadPoolExecutor(
            self._at_once, thread_name_prefix="xce-predict", initializer=compute_alone
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
        ahead = (block for block, _ in self._ahead)
        return sum(len(block) for block in [*self._left, *ahead])

    def next(self) -> list[Batch]:
        """Return the next blocks and their windows, as many as make a piece of work.

        Raises
        ------
        SlideError
            A tile cannot be read. It was handed out by that; the next call goes on. The neighbours
            in its block are tried alone.
        """
        blocks: list[Block] = []
        windows: list[NDArray[np.uint8]] = []
        while len(blocks) < self._a_piece and self.tiles_left:
            self._read_ahead()
            block, future = self._ahead[0]
            try:
                window = future.result()
            except SlideError:
                if len(block) == 1 and blocks:
                    break  # these first
                self._ahead.popleft()
                if len(block) == 1:
                    raise
                self._put_first([(tile,) for tile in block])
                continue
            if self._in_one_batch and windows and window.shape != windows[0].shape:
                break
            self._ahead.popleft()
            blocks.append(block)
            windows.append(window)
        self._read_ahead()
        if self._in_one_batch:
            return [(blocks, np.stack(windows))]
        return [([block], window[None]) for block, window in zip(blocks, windows, strict=True)]

    def map(self, function: Callable[[Batch], R], batches: list[Batch]) -> Iterator[R]:
        """Return what a function says of each batch, called in threads that compute alone."""
        if len(batches) == 1 and (self._in_one_batch or self._at_once == 1):
            return iter([function(batches[0])])
        return self._workers.map(function, batches)

    def _read_ahead(self) -> None:
        """Keep twice as many windows on their way as go through the network at once."""
        while self._left and len(self._ahead) < 2 * self._a_piece:
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
        self._ahead.clear()
        self._left.clear()
