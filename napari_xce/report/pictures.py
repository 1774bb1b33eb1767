"""The pictures of the page: the slide, the density of a class with its hot spots, a hot spot near.

Drawn with Pillow from the slide's coarse levels; sizes in pictures are picture pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from napari_xce.annotations.records import CellClass
from napari_xce.measures import HotSpot, Place
from napari_xce.predictions.detections import Detections
from napari_xce.slides import Slide

LONGEST = 900  # of a map, pixels
CROP = 560  # side of a crop, pixels
_INK, _PAPER, _AREA = "#202020", "#ffffff", "#000000"
_BLUR_WORKING_PX = 100.0  # 50 um
_HEAT = 0.85  # most opaque


class Frame:
    """The slide drawn small, once for all its maps: pixels, and where a level-0 point is on them.

    Parameters
    ----------
    slide : Slide
    """

    def __init__(self, slide: Slide) -> None:
        self.factor = max(1.0, max(slide.shape) / LONGEST)
        height, width = (max(1, round(side / self.factor)) for side in slide.shape)
        self.pixels = slide.read_scaled(0, 0, height, width, (self.factor, self.factor))

    def xy(self, y: float, x: float) -> tuple[float, float]:
        """Return (x, y) as Pillow wants it."""
        return (x + 0.5) / self.factor - 0.5, (y + 0.5) / self.factor - 0.5


def draw_overview(frame: Frame, areas: Sequence[Place]) -> Image.Image:
    """Return the slide in its own colours, with the outlines and names of the areas."""
    picture = Image.fromarray(frame.pixels)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(38)
    for place in areas:
        for part in shapely.get_parts(place.outline):
            for line in (part.exterior, *part.interiors):
                corners = [frame.xy(y, x) for x, y in line.coords]
                draw.line(corners, fill=_AREA, width=5, joint="curve")
        at = frame.xy(place.box[0], place.box[1])
        draw.text(
            (at[0] + 6, at[1] + 4),
            place.name,
            fill=_AREA,
            font=font,
            stroke_width=4,
            stroke_fill=_PAPER,
        )
    return picture


def draw_map(
    frame: Frame,
    cells: Detections,
    found: CellClass,
    spots: Sequence[HotSpot],
    factor: tuple[float, float],
) -> Image.Image:
    """Return the slide in pale grey, under the density of a class in its colour, spots ringed."""
    grey = frame.pixels.mean(2, keepdims=True)
    paper = 255 - 0.45 * (255 - grey)  # (h, w, 1): pale, so that the colour stands out
    density = _density(cells.points[cells.labels == found.name], frame, factor)
    alpha = _HEAT * density[..., np.newaxis]  # (h, w, 1)
    color = np.array([int(found.color[i : i + 2], 16) for i in (1, 3, 5)], dtype=float)
    blended = (1 - alpha) * paper + alpha * color  # (h, w, 3)
    picture = Image.fromarray(blended.round().astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(34)
    for number, spot in enumerate(spots, start=1):
        x, y = frame.xy(*spot.yx)
        ry, rx = (max(r / frame.factor, 14.0) for r in spot.radius)
        draw.ellipse((x - rx, y - ry, x + rx, y + ry), outline=_PAPER, width=8)
        draw.ellipse((x - rx + 2, y - ry + 2, x + rx - 2, y + ry - 2), outline=_INK, width=4)
        right = x + rx + 30 < picture.width
        draw.text(
            (x + rx + 6 if right else x - rx - 6, y),
            str(number),
            fill=_INK,
            font=font,
            anchor="lm" if right else "rm",
            stroke_width=4,
            stroke_fill=_PAPER,
        )
    return picture


def _density(
    points: NDArray[np.float64], frame: Frame, factor: tuple[float, float]
) -> NDArray[np.float64]:
    """Return the density of points over a frame, 1 where it is highest."""
    shape = frame.pixels.shape[:2]
    index = ((points + 0.5) / frame.factor).astype(np.intp)
    table = np.zeros(shape)
    np.add.at(table, tuple(np.clip(index, 0, np.array(shape) - 1).T), 1.0)
    blur = [max(2.0, _BLUR_WORKING_PX * f / frame.factor) for f in factor]
    blur = [min(size, side / 20) for size, side in zip(blur, shape, strict=True)]
    smooth = gaussian_filter(table, blur)
    return smooth / max(float(smooth.max()), 1e-12)


def draw_crop(
    slide: Slide,
    spot: HotSpot,
    cells: Detections,
    classes: Sequence[CellClass],
    factor: tuple[float, float],
) -> Image.Image:
    """Return the middle of a hot spot, cells ringed in the colours of their classes."""
    scale = min(1.0, 2 * min(r / f for r, f in zip(spot.radius, factor, strict=True)) / CROP)
    step = factor[0] * scale, factor[1] * scale  # level-0 pixels per picture pixel
    top, left = (c - CROP / 2 * s for c, s in zip(spot.yx, step, strict=True))
    pixels = slide.read_scaled(top, left, CROP, CROP, step)
    picture = Image.fromarray(pixels)
    draw = ImageDraw.Draw(picture)
    colors = {one.name: one.color for one in classes}
    near = cells.inside((top, left, top + CROP * step[0], left + CROP * step[1]))
    for (y, x), label, diameter in zip(near.points, near.labels, near.diameters, strict=True):
        at_y, at_x = (y - top) / step[0], (x - left) / step[1]
        size = float(diameter) if np.isfinite(diameter) else 16.0 * factor[0]
        radius = max(0.55 * size / step[0], 4.0)
        draw.ellipse(
            (at_x - radius, at_y - radius, at_x + radius, at_y + radius),
            outline=colors.get(str(label), _INK),
            width=3,
        )
    return picture
