"""COCO JSON in, as annotation tools and detectors write it (format: https://cocodataset.org).

Objects go by one at a time, though the categories may stand behind them: the names of the classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from napari_xce.errors import ExchangeError
from napari_xce.exchange.frames import from_corner_xy
from napari_xce.exchange.imported import (
    FARTHEST,
    CellCollector,
    ImportedCells,
    ImportedPoints,
    PointCollector,
    clean_name,
)
from napari_xce.exchange.json_file import open_text, sentences
from napari_xce.exchange.json_stream import first_list, iter_items

Document = dict[str, Any]


def is_coco(path: Path | str) -> bool:
    """Tell whether JSON is of COCO, and not something else, say GeoJSON.

    Raises
    ------
    ExchangeError
        If the file cannot be read or is not JSON.
    """
    with sentences(path), open_text(Path(path)) as read:
        return first_list(read, ("annotations", "features")) == "annotations"


def read_coco(path: Path | str, image: str = "", *, most: int | None = None) -> ImportedPoints:
    """Read the objects of one image of a COCO file as points.

    Parameters
    ----------
    path : path
    image : str
        File name of the slide, by which its objects are found where the file holds several images.
    most : int, optional
        Refuse a file of more objects.

    Returns
    -------
    ImportedPoints
        The point is the keypoint where an object has exactly one, else the middle of its outline or
        box. Crowds, objects without a place and outlines as run lengths without a box are left out,
        and `notes` says so.

    Raises
    ------
    ExchangeError
        If there are several images and none is the slide, or the file or an object is not as it
        must be; with its number.
    """
    collector = PointCollector(most)

    def add(category: str, entry: Document, found: _Found) -> None:
        shell = None if found.outline is None else from_corner_xy(_open(found.outline))
        collector.add(from_corner_xy(found.centre), category, shell)

    _gather(path, image, collector, add)
    return collector.finish()


def read_coco_cells(path: Path | str, image: str = "") -> ImportedCells:
    """Read the objects of one image of a COCO file as cells that were found.

    Parameters
    ----------
    path, image
        As for :func:`read_coco`.

    Returns
    -------
    ImportedCells
        The score is "score", 1 where there is none or it is not in [0, 1]; the diameter is that of
        a disc of the outline's area, else the mean of the sides of the box.

    Raises
    ------
    ExchangeError
        As for :func:`read_coco`.
    """
    collector = CellCollector()

    def add(category: str, entry: Document, found: _Found) -> None:
        score = entry.get("score")
        ((y, x),) = from_corner_xy(found.centre).tolist()
        score = score if isinstance(score, float) else math.nan
        collector.add_cell(y, x, category, score, found.diameter)

    _gather(path, image, collector, add)
    return collector.finish_cells()


class _Found(NamedTuple):
    """Where an object is, in the file's frame (x, y), and how large; NaN where that is unknown."""

    centre: NDArray[np.float64]
    outline: shapely.Polygon | None
    diameter: float


def _gather(
    path: Path | str,
    image: str,
    collector: PointCollector,
    add: Callable[[str, Document, _Found], None],
) -> None:
    """Hand on object by object, for now under its category; then tell what these are called."""
    rest: Document = {}
    numbers: dict[Any, int] = {}  # of the first object of each category
    with sentences(path), open_text(Path(path)) as read:
        for number, entry in _objects(iter_items(read, "annotations", rest), rest, image):
            category = entry.get("category_id")
            if not isinstance(category, float | str):
                raise _unnamed(number, category)
            numbers.setdefault(category, number)
            if entry.get("iscrowd"):
                collector.leave_out("crowds")
                continue
            found = _place(entry, number)
            if found is None:
                collector.leave_out("objects without a place")
            else:
                add(str(category), entry, found)
        names = _names(rest)
        for category, number in numbers.items():
            if category not in names:
                raise _unnamed(number, category)
        collector.rename({str(category): name for category, name in names.items()})


def _objects(entries: Iterator[Any], rest: Document, image: str) -> Iterator[tuple[int, Document]]:
    """Yield the objects of the slide's image with their numbers in the file."""
    numbered: Iterator[tuple[int, Any]] = enumerate(entries, start=1)
    first = next(numbered, None)
    if first is None:
        return
    if "images" not in rest:  # they come behind the objects, which must be held until then
        numbered = iter([first, *numbered])
        first = next(numbered)
    wanted = _image(rest, image)
    for number, entry in chain([first], numbered):
        if not isinstance(entry, dict):
            raise _refusal(number, "is no object")
        if wanted is None or entry.get("image_id") == wanted:
            yield number, entry


def _names(document: Document) -> dict[Any, str]:
    """Return the names of the categories by their ids."""
    categories = document.get("categories")
    listed = categories if isinstance(categories, list) else []
    return {
        entry.get("id"): clean_name(str(entry.get("name", "")), f"Category {number}")
        for number, entry in enumerate(listed, start=1)
        if isinstance(entry, dict) and isinstance(entry.get("id"), float | str)
    }


def _image(document: Document, name: str) -> Any:
    """Return the id of the slide's image; None where there are not several to choose from."""
    images = document.get("images")
    listed = [e for e in images if isinstance(e, dict)] if isinstance(images, list) else []
    if len(listed) < 2:
        return None
    for entry in listed:
        if Path(str(entry.get("file_name", ""))).stem == Path(name).stem:
            return entry.get("id")
    raise ExchangeError(
        f"it holds {len(listed)} images, and none of them is called {name!r}. Export the one that "
        "belongs to this slide alone, or give it the slide's name."
    )


def _place(entry: Document, number: int) -> _Found | None:
    """Return where an object is, None where it does not say."""
    outline = _outline(entry.get("segmentation"), number)
    box = _box(entry, number)
    centre = _keypoint(entry, number)
    if centre is None and outline is not None:
        centre = shapely.get_coordinates(outline.centroid)[0]
    if centre is None and box is not None:
        centre = box[:2] + box[2:] / 2
    if centre is None:
        return None
    if outline is not None:
        return _Found(centre, outline, 2 * math.sqrt(outline.area / math.pi))
    return _Found(centre, None, math.nan if box is None else float(box[2:].mean()))


def _keypoint(entry: Document, number: int) -> NDArray[np.float64] | None:
    """Return the keypoint (x, y) of an object that has exactly one."""
    values = entry.get("keypoints")
    if not isinstance(values, list) or len(values) != 3:
        return None
    numbers = _numbers(values, number)
    return numbers[:2] if numbers[2] > 0 else None  # 0: not labelled


def _box(entry: Document, number: int) -> NDArray[np.float64] | None:
    """Return the box x, y, width, height of an object that has one."""
    values = entry.get("bbox")
    if not isinstance(values, list) or len(values) != 4:
        return None
    return _numbers(values, number)


def _outline(rings: Any, number: int) -> shapely.Polygon | None:
    """Return the largest of the polygons, in the file's frame."""
    if not isinstance(rings, list):
        return None  # run lengths
    parts = []
    for ring in rings:
        if not isinstance(ring, list) or len(ring) < 6 or len(ring) % 2:
            raise _refusal(number, "has an outline that is no list of x and y")
        parts.append(shapely.Polygon(_numbers(ring, number).reshape(-1, 2)))
    return max(parts, key=lambda part: part.area, default=None)


def _open(outline: shapely.Polygon) -> NDArray[np.float64]:
    """Return the corners of an outline, the last not the first again."""
    return shapely.get_coordinates(outline.exterior)[:-1]


def _numbers(values: list[Any], number: int) -> NDArray[np.float64]:
    """Return coordinates as an array."""
    if not all(type(v) is float and -FARTHEST <= v <= FARTHEST for v in values):
        raise _refusal(number, "has a coordinate that is no number, or far outside any slide")
    return np.array(values, dtype=np.float64)


def _unnamed(number: int, category: Any) -> ExchangeError:
    return _refusal(number, f"is of category {category!r}, which the file does not name")


def _refusal(number: int, what: str) -> ExchangeError:
    return ExchangeError(f"annotation {number} {what}. Correct it, or export the file again.")
