from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_xce.errors import SlideError
from napari_xce.learning.devices import Device
from napari_xce.predictions.block_reader import BlockReader, blocks_of

from .conftest import at_work

TILES = [(row, column) for row in range(4) for column in range(4)]


@pytest.fixture
def work():
    image = np.random.default_rng(0).integers(0, 255, (250, 240, 3), dtype=np.uint8)
    return at_work(image, core=64)


@pytest.fixture
def two_threads():
    """Let torch have two threads on this one."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def read_all(reader):
    """Return all blocks and windows, one by one."""
    found = []
    while reader.tiles_left:
        for blocks, windows in reader.next():
            found += zip(blocks, windows, strict=True)
    return found


def test_blocks_hold_each_tile_once_and_neighbours_together():
    blocks = blocks_of(TILES[::-1])
    assert blocks[0] == tuple((row, column) for row in range(3) for column in range(3))
    assert sorted(tile for block in blocks for tile in block) == TILES


@pytest.mark.parametrize("device", ["cpu", "cuda"])  # which only says how many go at once
def test_windows_are_those_of_their_blocks(work, device):
    with BlockReader(work, TILES, Device(device, False)) as reader:
        found = read_all(reader)
    assert sorted(tile for block, _ in found for tile in block) == TILES
    for block, window in found:
        np.testing.assert_array_equal(window, work.read(*work.grid.window(*block).read))


def test_processor_takes_a_block_for_each_of_several_threads(work, two_threads):
    with BlockReader(work, TILES, Device("cpu", False)) as reader:
        batches = reader.next()
        assert len(batches) == 2
        assert list(reader.map(len, batches)) == [2] * 2


def test_threads_compute_alone_and_leave_others_as_they_are(work, two_threads):
    with BlockReader(work, TILES, Device("cpu", False)) as reader:
        used = list(reader.map(lambda _: torch.get_num_threads(), reader.next()))
    assert used == [1] * 2
    assert torch.get_num_threads() == 2


def test_what_was_read_before_a_torn_block_is_handed_out_first(monkeypatch, two_threads):
    work = at_work(np.zeros((64, 640, 3), np.uint8), core=64)
    read = work.slide.read_scaled

    def torn(y, x, height, width, factor):
        if x + width == 640:
            raise SlideError("torn")
        return read(y, x, height, width, factor)

    monkeypatch.setattr(work.slide, "read_scaled", torn)
    found = []
    with BlockReader(work, [(0, 0), (0, 9)], Device("cpu", False)) as reader:
        found += [blocks for blocks, _ in reader.next()]
        with pytest.raises(SlideError, match="torn"):
            reader.next()
        assert not reader.tiles_left
    assert found == [[((0, 0),)]]


def test_what_cannot_be_read_is_told_and_the_neighbours_are_read_alone(work, monkeypatch):
    read = work.slide.read_scaled

    def torn(y, x, height, width, factor):
        if y < 100 < y + height and x + width > 239:
            raise SlideError("torn")
        return read(y, x, height, width, factor)

    monkeypatch.setattr(work.slide, "read_scaled", torn)
    far = [(row, column) for row in range(3) for column in range(1, 4, 2)]
    told, found = 0, []
    with BlockReader(work, far, Device("cpu", False)) as reader:
        while reader.tiles_left:
            try:
                found += [tile for blocks, _ in reader.next() for block in blocks for tile in block]
            except SlideError:
                told += 1
    assert told + len(found) == len(far)
    assert told >= 3  # the right column, at least


def test_closing_in_between_leaves_no_thread(work):
    reader = BlockReader(work, TILES, Device("cpu", False))
    reader.next()
    reader.close()
    reader.close()
    assert not reader.tiles_left
