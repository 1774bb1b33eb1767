"""The predicted cells of a slide or of a part of it, as a struct of arrays.

Immutable and free of torch and Qt, so that it may cross threads and go to exporters as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Box = tuple[float, float, float, float]  # (y0, x0, y1, x1), level-0 pixels, half-open


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Predicted cells: one entry per cell in each array.

    Parameters
    ----------
    points : float64, shape (N, 2)
        Centres, level-0 pixels, (y, x), pixel centres at integers.
    labels : str, shape (N,)
        Class names.
    scores : float32, shape (N,)
        Score of the named class, in [0, 1].
    diameters : float32, shape (N,)
        Cell diameters, level-0 pixels; NaN where unknown.
    revision : int
        Revision of the model that found them; the highest one where several are joined.

    Raises
    ------
    ValueError
        If the arrays differ in length or `points` is not (N, 2).

    Notes
    -----
    The arrays are converted to the dtypes above and made read-only views; a caller's own array is
    neither copied needlessly nor made read-only itself.

    Examples
    --------
    >>> cells = Detections([[10, 20], [30, 40]], ["tumour", "stroma"], [0.9, 0.4], [12, 8])
    >>> len(cells.above(0.5))
    1
    >>> cells.above({"tumour": 0.95, "stroma": 0.3}).labels.tolist()
    ['stroma']
    """

    points: NDArray[np.float64]
    labels: NDArray[np.str_]
    scores: NDArray[np.float32]
    diameters: NDArray[np.float32]
    revision: int = 0

    def __post_init__(self) -> None:
        points = _read_only(self.points, np.float64)
        if points.size == 0:
            points = points.reshape(0, 2)
        if points.ndim != 2 or points.shape[1] != 2:
            raise ValueError(f"points must have the shape (N, 2), not {points.shape}")
        object.__setattr__(self, "points", points)
        for name, dtype in (("labels", np.str_), ("scores", np.float32), ("diameters", np.float32)):
            array = _read_only(getattr(self, name), dtype)
            if array.shape != (len(points),):
                raise ValueError(
                    f"{name} must have the shape ({len(points)},), as there are {len(points)} "
                    f"points, not {array.shape}"
                )
            object.__setattr__(self, name, array)

    @classmethod
    def empty(cls, revision: int = 0) -> Detections:
        """Return no detections."""
        none = np.empty(0, dtype=np.float32)
        return cls(np.empty((0, 2)), np.empty(0, dtype=np.str_), none, none, revision)

    @classmethod
    def concatenate(cls, parts: Iterable[Detections]) -> Detections:
        """Join detections in the order given; the revision is the highest of the parts'."""
        joined = list(parts)
        if not joined:
            return cls.empty()
        return cls(
            np.concatenate([part.points for part in joined]),
            np.concatenate([part.labels for part in joined]),
            np.concatenate([part.scores for part in joined]),
            np.concatenate([part.diameters for part in joined]),
            max(part.revision for part in joined),
        )

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: Any) -> Detections:
        """Return the cells picked by a mask, an array of indices, a slice or one integer."""
        if isinstance(index, (int, np.integer)):
            if not -len(self) <= index < len(self):  # also ends plain iteration
                raise IndexError(f"detection {index} of {len(self)}")
            index = slice(index, index + 1 or None)
        elif not isinstance(index, slice):
            index = np.asarray(index)
            if index.size == 0 and index.dtype.kind != "b":
                index = index.astype(np.intp)  # a plain [] is float64 and could not index
        return Detections(
            self.points[index],
            self.labels[index],
            self.scores[index],
            self.diameters[index],
            self.revision,
        )

    def above(self, thresholds: float | Mapping[str, float]) -> Detections:
        """Return the cells whose score reaches the threshold.

        Parameters
        ----------
        thresholds : float or mapping of class name to float
            In [0, 1]. A class that the mapping does not name is kept whole.
        """
        if not isinstance(thresholds, Mapping):
            # compared in float32, so that a score equal to its threshold is in whatever its digits
            return self[self.scores >= np.float32(thresholds)]
        needed = np.zeros(len(self), dtype=np.float32)
        for name, threshold in thresholds.items():
            needed[self.labels == name] = threshold
        return self[self.scores >= needed]

    def inside(self, box: Box) -> Detections:
        """Return the cells with y0 <= y < y1 and x0 <= x < x1; `box` is (y0, x0, y1, x1)."""
        y0, x0, y1, x1 = box
        y, x = self.points[:, 0], self.points[:, 1]
        return self[(y >= y0) & (y < y1) & (x >= x0) & (x < x1)]


def _read_only(values: ArrayLike, dtype: Any) -> NDArray[Any]:
    """Return the values as an array of the dtype that cannot be written to."""
    array = np.asarray(values, dtype=dtype).view()
    array.flags.writeable = False
    return array
