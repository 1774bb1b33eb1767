from __future__ import annotations

from threading import Barrier, Event

import numpy as np
import pytest
import torch

from napari_xce.errors import SlideError
from napari_xce.learning.devices import Device
from napari_xce.predictions.block_reader import BlockReader, blocks_of

from .conftest import at_work

TILES = [(row, column) for row in range(4) for column in range(4)]
STRIP = [(0, column) for column in range(12)]  # four blocks


@pytest.fixture
def work():
    image = np.random.default_rng(0).integers(0, 255, (250, 240, 3), dtype=np.uint8)
    return at_work(image, core=64)


@pytest.fixture
def strip():
    return at_work(np.zeros((64, 12 * 64, 3), np.uint8), core=64)


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
        blocks, windows = reader.next(lambda batch: batch, 0)
        found += zip(blocks, windows, strict=True)
    return found


def sides_of(blocks):
    """Return height and width of blocks, tiles."""
    return [tuple(np.ptp(block, axis=0) + 1) for block in blocks]


def test_blocks_hold_each_tile_once_and_neighbours_together():
    tiles = [(row, column) for row in range(6) for column in range(6)]
    blocks = blocks_of(tiles[::-1])
    assert blocks[0] == tuple((row, column) for row in range(3) for column in range(3))
    assert sorted(tile for block in blocks for tile in block) == tiles


def test_no_block_is_a_strip_of_what_is_left_over():
    assert sides_of(blocks_of(TILES)) == [(4, 4)]
    row = [(9, column) for column in range(19)]
    assert sides_of(blocks_of(row)) == [(1, 3)] * 5 + [(1, 4)]
    apart = [(0, 0), (0, 1), (0, 7), (0, 8), (5, 8)]
    assert blocks_of(apart) == [((0, 0), (0, 1)), ((0, 7), (0, 8)), ((5, 8),)]


@pytest.mark.parametrize("device", ["cpu", "cuda"])  # which only says how many go at once
def test_windows_are_those_of_their_blocks(work, device):
    with BlockReader(work, TILES, Device(device, False)) as reader:
        found = read_all(reader)
    assert sorted(tile for block, _ in found for tile in block) == TILES
    for block, window in found:
        np.testing.assert_array_equal(window, work.read(*work.grid.window(*block).read))


def test_processor_takes_a_block_for_each_of_several_threads(strip, two_threads):
    both = Barrier(2, timeout=20)
    with BlockReader(strip, STRIP, Device("cpu", False)) as reader:
        reader.next(lambda _: both.wait(), 0)
        reader.next(lambda _: both.wait(), 0)


def test_what_is_done_does_not_wait_for_what_was_begun_before(strip, two_threads):
    told = Event()

    def predict(batch):
        if (0, 0) in batch[0][0]:
            told.wait(20)
        return batch[0][0]

    with BlockReader(strip, STRIP, Device("cpu", False)) as reader:
        found = [reader.next(predict, 0), reader.next(predict, 0)]
        told.set()
        while reader.tiles_left:
            found.append(reader.next(predict, 0))
    assert not any((0, 0) in block for block in found[:2])
    assert any((0, 0) in block for block in found[2:])


def test_what_was_begun_before_the_model_changed_is_predicted_anew(strip, two_threads):
    with BlockReader(strip, STRIP, Device("cpu", False)) as reader:
        found = [reader.next(lambda batch: ("old", batch[0][0]), "old")]
        while reader.tiles_left:
            found.append(reader.next(lambda batch: ("new", batch[0][0]), "new"))
    assert [age for age, _ in found] == ["old"] + ["new"] * (len(found) - 1)
    assert sorted(tile for _, block in found for tile in block) == STRIP


def test_threads_compute_alone_and_leave_others_as_they_are(work, two_threads):
    with BlockReader(work, TILES, Device("cpu", False)) as reader:
        assert reader.next(lambda _: torch.get_num_threads(), 0) == 1
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
        found.append(reader.next(lambda batch: batch[0], 0))
        with pytest.raises(SlideError, match="torn"):
            reader.next(lambda batch: batch[0], 0)
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
                blocks, _ = reader.next(lambda batch: batch, 0)
                found += [tile for block in blocks for tile in block]
            except SlideError:
                told += 1
    assert told + len(found) == len(far)
    assert told >= 3  # the right column, at least


def test_closing_in_between_leaves_no_thread(work):
    reader = BlockReader(work, TILES, Device("cpu", False))
    reader.next(len, 0)
    reader.close()
    reader.close()
    assert not reader.tiles_left
