"""The demo as a picture: the slide with clicks and predictions, for a person to judge."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from napari_xce.annotations import Annotations, CellClass
from napari_xce.annotations.records import POINT, REJECTION
from napari_xce.errors import ExchangeError
from napari_xce.predictions.detections import Detections
from napari_xce.slides import Slide
from napari_xce.slides.synthetic import Region

#: The picture's longer side, at most.
MOST_PIXELS = 2048
#: Height of a line of text, picture pixels.
LINE = 36
_INK, _PAPER, _REJECTED = "#202020", "#ffffff", "#000000"


def write_overlay(
    path: Path,
    slide: Slide,
    cells: Detections,
    said: Annotations,
    classes: Sequence[CellClass],
    window: Region,
    title: str,
) -> None:
    """Write a PNG: rings are predicted cells, dots are clicks, in the colours of their classes.

    Parameters
    ----------
    path : Path
        Replaced if it is there.
    slide : Slide
        Shown as a whole, 2,048 pixels at most.
    cells, said : Detections, Annotations
        Level-0 pixels.
    classes : sequence of CellClass
        For names and colours; background is passed over.
    window : ((y0, x0), (y1, x1))
        Where the clicks are, drawn as a dashed frame.
    title : str
        One line above the picture.

    Raises
    ------
    ExchangeError
        The file cannot be written.
    """
    factor = max(1.0, max(slide.shape) / MOST_PIXELS)
    height, width = (int(n / factor) for n in slide.shape)
    pixels = slide.read_scaled(0, 0, height, width, (factor, factor))
    named = [c for c in classes if c.id]
    head = LINE * (2 + len(named) + 1)
    picture = Image.new("RGB", (width, height + head), _PAPER)
    picture.paste(Image.fromarray(pixels), (0, head))
    draw = ImageDraw.Draw(picture)
    place = _Place(factor, head)
    _draw_cells(draw, place, cells, named)
    _draw_frame(draw, place, window)
    _draw_clicks(draw, place, said, named)
    _draw_legend(draw, cells, said, named, title)
    try:
        picture.save(path)
    except OSError as error:
        raise ExchangeError(
            f"{path} cannot be written ({error.strerror}). Choose another folder."
        ) from error


class _Place:
    """Where a level-0 point is in the picture."""

    def __init__(self, factor: float, head: int) -> None:
        self.factor, self.head = factor, head

    def __call__(self, y: float, x: float) -> tuple[float, float]:
        """Return (x, y) in the picture, as PIL wants it."""
        return (x + 0.5) / self.factor - 0.5, (y + 0.5) / self.factor - 0.5 + self.head


def _draw_cells(
    draw: ImageDraw.ImageDraw, place: _Place, cells: Detections, classes: Sequence[CellClass]
) -> None:
    """Draw a ring around each predicted cell, as large as the cell."""
    colors = {c.name: c.color for c in classes}
    for (y, x), label, diameter in zip(cells.points, cells.labels, cells.diameters, strict=True):
        radius = 0.5 * float(np.nan_to_num(diameter, nan=16.0)) / place.factor + 2
        ring(draw, place(y, x), radius, colors[str(label)], 3)


def _draw_clicks(
    draw: ImageDraw.ImageDraw, place: _Place, said: Annotations, classes: Sequence[CellClass]
) -> None:
    """Draw a white-rimmed dot at each click and a cross at each rejection."""
    colors = {c.name: c.color for c in classes}
    for (y, x), label, kind in zip(said.points, said.labels, said.kinds, strict=True):
        if kind == REJECTION:
            cross(draw, place(y, x))
        elif kind == POINT:
            dot(draw, place(y, x), colors[str(label)])


def ring(
    draw: ImageDraw.ImageDraw, at: tuple[float, float], radius: float, color: str, width: int
) -> None:
    """Draw a ring around a point of the picture."""
    x, y = at
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=color, width=width)


def dot(draw: ImageDraw.ImageDraw, at: tuple[float, float], color: str) -> None:
    """Draw a dot with a white and a dark rim, which stands out on any tissue."""
    x, y = at
    for radius, fill in ((9, _INK), (8, "#ffffff"), (6, color)):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)


def cross(draw: ImageDraw.ImageDraw, at: tuple[float, float]) -> None:
    """Draw a cross with a white rim."""
    x, y = at
    for width, fill in ((7, "#ffffff"), (3, _REJECTED)):
        draw.line((x - 8, y - 8, x + 8, y + 8), fill=fill, width=width)
        draw.line((x - 8, y + 8, x + 8, y - 8), fill=fill, width=width)


def _draw_frame(draw: ImageDraw.ImageDraw, place: _Place, window: Region) -> None:
    """Draw the window's frame, dashed."""
    (x0, y0), (x1, y1) = place(*window[0]), place(*window[1])
    for start in np.arange(0.0, 1.0, 0.025):
        end = start + 0.015
        across = x0 + start * (x1 - x0), x0 + end * (x1 - x0)
        down = y0 + start * (y1 - y0), y0 + end * (y1 - y0)
        for y in (y0, y1):
            draw.line((across[0], y, across[1], y), fill=_INK, width=3)
        for x in (x0, x1):
            draw.line((x, down[0], x, down[1]), fill=_INK, width=3)


def _draw_legend(
    draw: ImageDraw.ImageDraw,
    cells: Detections,
    said: Annotations,
    classes: Sequence[CellClass],
    title: str,
) -> None:
    """Write the title and, for each class, its signs with their counts."""
    font = ImageFont.load_default(24)
    middle = LINE // 2
    draw.text((12, middle), title, fill=_INK, font=font, anchor="lm")
    for row, found in enumerate(classes, 1):
        y = row * LINE + middle
        clicks = int(((said.labels == found.name) & (said.kinds == POINT)).sum())
        dot(draw, (28, y), found.color)
        ring(draw, (60, y), 11, found.color, 3)
        words = f"{found.name}: {clicks} clicks (dots), {(cells.labels == found.name).sum()} found"
        draw.text((86, y), f"{words} (rings)", fill=_INK, font=font, anchor="lm")
    y = (len(classes) + 1) * LINE + middle
    cross(draw, (28, y))
    rejected = int((said.kinds == REJECTION).sum())
    words = f"rejected: {rejected} clicks (no cell here).   Dashed: where all the clicks are"
    draw.text((86, y), words, fill=_INK, font=font, anchor="lm")
