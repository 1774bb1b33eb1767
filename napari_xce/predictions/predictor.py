"""Run the model on tiles: pixels to heat, cells and masks. The features of recent tiles are kept,
so that a click, which changes only the classes, repaints the view without the network. Where a
whole slide is predicted, several neighbouring tiles are looked at as one block and nothing is kept.

Owned by one thread at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from napari_xce.budget import Held, bytes_for
from napari_xce.errors import SlideError
from napari_xce.learning.devices import Device, compute_alone
from napari_xce.learning.heads import REFERENCE_DIAMETER
from napari_xce.learning.inference import Inference
from napari_xce.learning.memory import Observation
from napari_xce.learning.model import CellModel, Tiles, object_probability
from napari_xce.learning.peaks import find_peaks, grid_to_working, suppress_neighbours
from napari_xce.learning.trunk import GRID_STRIDE, MASK_STRIDE
from napari_xce.learning.windows import highest_around
from napari_xce.predictions.detections import Detections
from napari_xce.predictions.heat import quantise
from napari_xce.predictions.tiles import Tile, TileGrid, Window
from napari_xce.slides import Slide

#: Lowest scores kept: of a proposal as a nucleus, of a cell as one of its class.
LEAST_OBJECT, LEAST_SCORE = 0.1, 0.1
#: Two peaks nearer than this share of the diameter are one cell.
SAME_CELL = 0.4
#: Random grid cells remembered of each tile.
GROUND_CELLS = 96

TileKey = tuple[str, Tile]


@dataclass(frozen=True, slots=True)
class TilePrediction:
    """What a tile's core holds.

    Attributes
    ----------
    heat : dict of class name to ndarray, uint8, shape (core / 4, core / 4)
        0 = not predicted, 1..255 = probability.
    detections : Detections
        Cells centred in the core, level-0 pixels.
    """

    heat: dict[str, NDArray[np.uint8]]
    detections: Detections


@dataclass(frozen=True, slots=True)
class SlideAtWork:
    """A slide as the network reads it.

    Attributes
    ----------
    id : str
        In its session.
    slide : Slide
    grid : TileGrid
        Its tiles; ``grid.factor`` are level-0 pixels per working pixel.
    """

    id: str
    slide: Slide
    grid: TileGrid

    def read(self, y: int, x: int, height: int, width: int) -> NDArray[np.uint8]:
        """Read working pixels, uint8, shape (height, width, 3).

        Outside the slide its mirror image is shown: a hard edge would look like something.
        """
        fy, fx = self.grid.factor
        rows, columns = self.grid.working_shape
        y0, y1 = np.clip((y, y + height), 0, rows)
        x0, x1 = np.clip((x, x + width), 0, columns)
        if y0 == y1 or x0 == x1:
            return np.full((height, width, 3), 255, np.uint8)
        # the first level-0 pixel of working pixel i begins where i * f does
        inside = self.slide.read_scaled(y0 * fy, x0 * fx, int(y1 - y0), int(x1 - x0), (fy, fx))
        beyond = ((y0 - y, y + height - y1), (x0 - x, x + width - x1), (0, 0))
        return np.pad(inside, beyond, mode="symmetric") if np.any(beyond) else inside


class Predictor:
    """Call the network on tiles and read cells out of what it says.

    Attributes
    ----------
    seen : Held
        What the network says of tiles looked at lately, by slide and tile.
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        self._network: Inference | None = None
        self.seen: Held[TileKey, Tiles] = Held(bytes_for("features"))

    def forget(self) -> None:
        """Forget all features, because the network has changed."""
        self._network = None
        self.seen.clear()

    def forget_slide(self, id: str) -> None:
        """Forget the features of one slide, because its pixel size has changed."""
        for key in self.seen:
            if key[0] == id:
                self.seen.drop(key)

    def get_ready(self, model: CellModel) -> Inference:
        """Prepare to call the network of a model, if that is not done yet."""
        if self._network is None or not self._network.is_of(model):
            self._network = Inference(model, self.device)
        return self._network

    def look_at(
        self, model: CellModel, work: SlideAtWork, rgb: NDArray[np.uint8], with_mask: bool
    ) -> list[Tiles]:
        """Return what the network says of windows that were read, uint8, shape (B, H, W, 3)."""
        return self.get_ready(model)(rgb, with_mask, work.grid.context)

    def look(self, model: CellModel, work: SlideAtWork, tile: Tile) -> Tiles:
        """Return what the network says of a tile, remembered if possible."""
        key = (work.id, tile)
        with_mask = model.head == "unet"
        seen = self.seen.get(key)
        if _has(seen, with_mask):
            return seen
        pixels = work.read(*work.grid.window(tile).read)
        looked = self.look_at(model, work, pixels[None], with_mask)[0]
        self.seen.put(key, looked, _size(looked))
        return looked

    def look_ahead(self, model: CellModel, work: SlideAtWork, tiles: Sequence[Tile]) -> None:
        """Look at tiles that `look` is about to be asked for, each in a thread that computes alone.

        One that cannot be read is left for `look` to say so. A GPU is as fast with one at a time.
        """
        if self.device.name != "cpu":
            return
        with_mask = model.head == "unet"
        new = [tile for tile in tiles if not _has(self.seen.get((work.id, tile)), with_mask)]
        if len(new) < 2:
            return
        self.get_ready(model)

        def look(tile: Tile) -> Tiles | None:
            try:
                pixels = work.read(*work.grid.window(tile).read)
            except SlideError:
                return None
            return self.look_at(model, work, pixels[None], with_mask)[0]

        with ThreadPoolExecutor(len(new), "xce-look", initializer=compute_alone) as crew:
            for tile, looked in zip(new, crew.map(look, new), strict=True):
                if looked is not None:
                    self.seen.put((work.id, tile), looked, _size(looked))

    def observe(self, model: CellModel, work: SlideAtWork, tile: Tile) -> Observation:
        """Return the proposals of a tile's core, and some of its ground, with their vectors."""
        looked, window = self.look(model, work, tile), work.grid.window(tile)
        rows, columns, points, objects = _proposals(looked)
        inner = _in_core(window, points)
        rows, columns, points, objects = rows[inner], columns[inner], points[inner], objects[inner]
        ground_rows, ground_columns = _random_ground(window, tile)
        return Observation(
            _to_level0(work.grid, window, points),
            objects,
            _diameters(looked, rows, columns) * _mean_factor(work.grid),
            looked.vectors(rows, columns).cpu().numpy(),
            _to_level0(work.grid, window, grid_to_working(ground_rows, ground_columns)),
            looked.vectors(ground_rows, ground_columns).cpu().numpy(),
            REFERENCE_DIAMETER * _mean_factor(work.grid),
        )

    def vectors_at(
        self, model: CellModel, work: SlideAtWork, tile: Tile, points: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Return the vectors of the grid cells under level-0 points in or around a tile's core.

        Returns
        -------
        ndarray, float32, shape (N, CELL_SIZE)
        """
        looked = self.look(model, work, tile)
        y, x, _, _ = work.grid.window(tile).seen
        here = (work.grid.to_working(points) - (y, x) + 0.5) // GRID_STRIDE
        rows, columns = np.clip(here.astype(int), 0, np.array(looked.grid.shape[2:]) - 1).T
        return looked.vectors(rows, columns).cpu().numpy()

    def predict(
        self, model: CellModel, work: SlideAtWork, tile: Tile, revision: int
    ) -> TilePrediction:
        """Paint and read one tile."""
        looked = self.look(model, work, tile)
        return self.read_block(model, work, [tile], looked, revision)[tile]

    @torch.no_grad()
    def read_block(
        self,
        model: CellModel,
        work: SlideAtWork,
        tiles: Sequence[Tile],
        looked: Tiles,
        revision: int,
    ) -> dict[Tile, TilePrediction]:
        """Paint and read tiles out of what the network says of the window around them all.

        Parameters
        ----------
        model : CellModel
        work : SlideAtWork
        tiles : sequence of tile
            Neighbours.
        looked : Tiles
            What the network says of ``work.grid.window(*tiles)``.
        revision : int
            Of the model.
        """
        grid, window = work.grid, work.grid.window(*tiles)
        scores = grid_scores(model, looked)  # (C, h, w)
        cells = self._read_cells(model, work, window, looked, scores, revision)
        row, column, height, width = _core_cells(window)
        # spread by a grid cell, so that a cell is a spot of its size and not a dot under its ring
        spread = highest_around(scores[None])[0]
        inside = spread[:, row : row + height, column : column + width]
        heat = quantise(inside.cpu().numpy())  # (C, h, w)
        owners = grid.tile_of(cells.points)
        side = grid.core_size // GRID_STRIDE
        top, left = np.min(tiles, axis=0).tolist()
        found = {}
        for tile in tiles:
            y, x = (tile[0] - top) * side, (tile[1] - left) * side
            mine = np.flatnonzero((owners[:, 0] == tile[0]) & (owners[:, 1] == tile[1]))
            painted = heat[:, y : y + side, x : x + side]
            by_class = dict(zip(model.classes, painted, strict=True))
            found[tile] = TilePrediction(by_class, cells[mine])
        return found

    def _read_cells(
        self,
        model: CellModel,
        work: SlideAtWork,
        window: Window,
        looked: Tiles,
        scores: Tensor,
        revision: int,
    ) -> Detections:
        """Read the cells of a window's core from its scores."""
        parts = [_proposed_cells(model, looked, scores)]
        parts += [_dense_cells(k, scores[k]) for k in model.layers.dense]
        points, labels, values, diameters = (np.concatenate(x) for x in zip(*parts, strict=True))
        kept = suppress_neighbours(points, values, (SAME_CELL * diameters).astype(np.float32))
        kept = kept[_in_core(window, points[kept])]
        return Detections(
            _to_level0(work.grid, window, points[kept]),
            np.array(model.classes)[labels[kept]],
            np.clip(values[kept], 0.0, 1.0),
            diameters[kept] * np.float32(_mean_factor(work.grid)),
            revision,
        )

    @torch.no_grad()
    def foreground(self, model: CellModel, work: SlideAtWork, tile: Tile) -> NDArray[np.float32]:
        """Return the probability that a pixel of the core is of any class, at stride 2.

        Returns
        -------
        ndarray, float32, shape (core / 2, core / 2)
        """
        looked = self._look_with_mask(model, work, tile)
        p = 1.0 - model.pixel_logits(looked).softmax(1)[0, 0]
        window = work.grid.window(tile)
        y, x, _, _ = window.seen
        top, left, bottom, right = window.core
        rows = slice((top - y) // MASK_STRIDE, -(-(bottom - y) // MASK_STRIDE))
        columns = slice((left - x) // MASK_STRIDE, -(-(right - x) // MASK_STRIDE))
        return p[rows, columns].cpu().numpy()

    def _look_with_mask(self, model: CellModel, work: SlideAtWork, tile: Tile) -> Tiles:
        """Look at a tile whatever the head, mask features included; not remembered."""
        if model.head == "unet":
            return self.look(model, work, tile)
        pixels = work.read(*work.grid.window(tile).read)
        return self.look_at(model, work, pixels[None], with_mask=True)[0]


def grid_scores(model: CellModel, looked: Tiles) -> Tensor:
    """Return the probability of each class on the grid, (C, h, w), by the model's head."""
    if model.head == "unet":
        return F.avg_pool2d(model.pixel_logits(looked).softmax(1), 2)[0, 1:]
    return model.grid_logits(looked).softmax(1)[0, 1:]


Cells = tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]


def _proposed_cells(model: CellModel, looked: Tiles, scores: Tensor) -> Cells:
    """Name each proposal after its best proposed class: points, labels, scores, diameters."""
    members = model.layers.proposed
    rows, columns, points, _ = _proposals(looked)
    if not members or not len(points):
        return np.empty((0, 2)), np.empty(0, int), np.empty(0, np.float32), np.empty(0, np.float32)
    near = highest_around(scores[members][None])[0] if model.head == "unet" else scores[members]
    values, best = near[:, rows, columns].max(0)
    kept = (values >= LEAST_SCORE).cpu().numpy()
    return (
        points[kept],
        np.array(members)[best.cpu().numpy()][kept],
        values.cpu().numpy()[kept],
        _diameters(looked, rows, columns)[kept],
    )


def _dense_cells(k: int, score: Tensor) -> Cells:
    """Read the peaks of a class that the trunk does not propose."""
    # as they are: neighbours are about four grid cells apart, and smoothing would make them one
    rows, columns = find_peaks(score, LEAST_SCORE)
    points = grid_to_working(rows, columns)
    return (
        points,
        np.full(len(points), k),
        score[rows, columns].cpu().numpy(),
        np.full(len(points), REFERENCE_DIAMETER, np.float32),
    )


def _proposals(looked: Tiles) -> tuple[Tensor, Tensor, NDArray[np.float64], NDArray[np.float32]]:
    """Return grid cells, centres (working pixels of the tile) and probabilities of proposals."""
    p = object_probability(looked.proposals.objectness[0, 0])
    rows, columns = find_peaks(p, LEAST_OBJECT)
    points = grid_to_working(rows, columns, looked.proposals.offset[0])
    return rows, columns, points, p[rows, columns].cpu().numpy()


def _diameters(looked: Tiles, rows: Tensor, columns: Tensor) -> NDArray[np.float32]:
    """Return the diameters of proposals, working pixels."""
    size = looked.proposals.size[0, 0, rows, columns].clamp(-1.5, 1.5).exp()
    return (REFERENCE_DIAMETER * size).cpu().numpy()


def _core_cells(window: Window) -> tuple[int, int, int, int]:
    """Return row, column, height, width of the core on the window's own grid of stride 4."""
    y, x, _, _ = window.seen
    top, left, bottom, right = window.core
    row, column = (top - y) // GRID_STRIDE, (left - x) // GRID_STRIDE
    return row, column, -(-(bottom - top) // GRID_STRIDE), -(-(right - left) // GRID_STRIDE)


def _random_ground(window: Window, tile: Tile) -> tuple[Tensor, Tensor]:
    """Draw grid cells of the core, the same at every visit."""
    row, column, height, width = _core_cells(window)
    rng = np.random.default_rng(tile)
    cells = rng.integers((row, column), (row + height, column + width), (GROUND_CELLS, 2))
    return torch.from_numpy(cells[:, 0]), torch.from_numpy(cells[:, 1])


def _in_core(window: Window, points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell which points, working pixels of the window, lie in its core."""
    y, x, _, _ = window.seen
    top, left, bottom, right = window.core
    on_slide = points + (y + 0.5, x + 0.5)  # from the slide's corner
    inside = (on_slide >= (top, left)) & (on_slide < (bottom, right))
    return np.logical_and(inside[:, 0], inside[:, 1])


def _to_level0(grid: TileGrid, window: Window, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn working pixels of a window into level-0 pixels of the slide."""
    y, x, _, _ = window.seen
    return grid.to_level0(points + (y, x))


def _mean_factor(grid: TileGrid) -> float:
    return float(np.sqrt(grid.factor[0] * grid.factor[1]))


def _has(seen: Tiles | None, with_mask: bool) -> TypeGuard[Tiles]:
    """Tell whether a tile is remembered with all that is wanted of it."""
    return seen is not None and (seen.nucleus is not None or not with_mask)


def _size(looked: Tiles) -> int:
    """Return the bytes a remembered tile takes."""
    tensors = [*looked.proposals, looked.appearance, looked.grid]
    tensors += [t for t in (looked.mask_features, looked.nucleus) if t is not None]
    return sum(t.numel() * t.element_size() for t in tensors)
