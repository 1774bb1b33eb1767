"""What the user says of predicted cells: accepted, rejected, of another class; and which of them
are most in doubt.

Any thread may call: nothing here waits for the model. However many cells, it is one action.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree
from skimage.measure import points_in_poly

from napari_xce.annotations import Annotations
from napari_xce.annotations.classes import clean_name
from napari_xce.annotations.journal import counted
from napari_xce.annotations.records import ACCEPTED, BACKGROUND, POINT, REGION, REJECTION
from napari_xce.annotations.shapes import checked_points, checked_region
from napari_xce.errors import SessionError
from napari_xce.predictions.detections import Box, Detections
from napari_xce.session.advice import SessionAdvice
from napari_xce.session.slides import WORKING_DIAMETER

#: A cell that scores less than this share of its threshold is not in doubt: it is no cell.
LEAST_DOUBTFUL = 0.5

Texts = NDArray[np.str_]


class SessionCorrections(SessionAdvice):
    """The part of a session that puts predictions right."""

    def found(self, region: ArrayLike | None = None, slide: str | None = None) -> Detections:
        """Return the cells found so far, without those rejected; nothing is predicted.

        Parameters
        ----------
        region : ((y0, x0), (y1, x1)) or array_like of shape (M, 2), optional
            A rectangle or a polygon, level-0 pixels; by default the whole slide.
        slide : str, optional
            Not needed when there is one slide.

        Returns
        -------
        Detections
            Those that reach the threshold of their class.

        Raises
        ------
        SessionError
            The region encloses nothing.
        """
        id = self._slide_id(slide)
        if region is None:
            cells = self._cells(id)
        else:
            polygon = checked_region(region)
            (y0, x0), (y1, x1) = polygon.min(0).tolist(), polygon.max(0).tolist()
            cells = self._cells(id, (y0, x0, y1, x1))
            if len(cells):
                cells = cells[points_in_poly(cells.points, polygon)]
        clicks = self._clicks(id)
        at = clicks_at(cells, clicks, self.cell_diameter(id))
        return cells[np.append(clicks.kinds != REJECTION, True)[at]]

    def accept(self, cells: Detections | ArrayLike, slide: str | None = None) -> list[str]:
        """Say that predicted cells are what they were predicted to be, in one action.

        Parameters
        ----------
        cells : Detections, or array_like of float, shape (N, 2)
            Predicted cells, or places (y, x), level-0 pixels, at which there are some.
        slide : str, optional
            Not needed when there is one slide.

        Returns
        -------
        list of str
            Ids of the annotations made. They are points with the provenance "accepted", at the
            place that was predicted.

        Raises
        ------
        SessionError
            No such open slide, or there is no predicted cell at one of the places.

        Notes
        -----
        A cell that was rejected before is accepted after all. Where the user has said a class
        already, by hand or by `relabel`, that counts more than the prediction and stays.
        """
        id = self._slide_id(slide)
        cells = self._predicted(id, cells)
        clicks = self._clicks(id)
        at = clicks_at(cells, clicks, self.cell_diameter(id))
        open_ = cells[~np.append(clicks.kinds == POINT, False)[at]]
        return self._correct(id, open_, open_.labels, "Accept")

    def reject(self, cells: Detections | ArrayLike, slide: str | None = None) -> list[str]:
        """Say that there is no cell of any class at these places.

        Parameters
        ----------
        cells : Detections, or array_like of float, shape (N, 2)
            Predicted cells, or any places (y, x), level-0 pixels.
        slide : str, optional
            Not needed when there is one slide.

        Returns
        -------
        list of str
            Ids of the rejections made: explicit negatives.

        Notes
        -----
        Of predicted cells, those that the user clicked by hand stay.
        """
        id = self._slide_id(slide)
        if isinstance(cells, Detections):
            return self._correct(id, cells, np.full(len(cells), BACKGROUND), "Reject")
        return self.store.reject(id, cells)

    def relabel(
        self, cells: Detections | ArrayLike, name: str, slide: str | None = None
    ) -> list[str]:
        """Say that predicted cells are of another class, in one action; see `accept`. Those that
        the user clicked by hand stay.

        Parameters
        ----------
        cells : Detections, or array_like of float, shape (N, 2)
            Predicted cells, or places (y, x), level-0 pixels, at which there are some.
        name : str
            The class; "background" rejects them.
        slide : str, optional
            Not needed when there is one slide.
        """
        id, name = self._slide_id(slide), clean_name(name)
        cells = self._predicted(id, cells)
        right = bool((cells.labels == name).all())
        verb, ending = ("Accept", "") if right else ("Relabel", f" as {name}")
        return self._correct(id, cells, np.full(len(cells), name), verb, ending)

    def doubtful(
        self, box: Box | None = None, slide: str | None = None, most: int = 500
    ) -> Detections:
        """Return the cells found so far that are most in doubt, those first.

        Parameters
        ----------
        box : (y0, x0, y1, x1), optional
            Level-0 pixels; by default the whole slide.
        slide : str, optional
            Not needed when there is one slide.
        most : int
            At most so many.

        Returns
        -------
        Detections
            Ordered by how far the score is from the threshold of the class, in logits. Those of
            which something was said and those in reviewed regions are left out, and so are those
            that score less than half the threshold.
        """
        id, thresholds = self._slide_id(slide), self.thresholds
        low = {name: LEAST_DOUBTFUL * threshold for name, threshold in thresholds.items()}
        cells = self.predictions[id].detections.query(box, thresholds=low)
        open_ = clicks_at(cells, self._clicks(id), self.cell_diameter(id)) < 0
        cells = cells[open_ & ~self.store.annotations(id).of_kind(REGION).cover(cells.points)]
        limits = np.array([thresholds.get(name, 0.5) for name in cells.labels.tolist()])
        away = np.abs(_logit(cells.scores) - _logit(limits))
        return cells[np.argsort(away, kind="stable")[:most]]

    def cell_diameter(self, slide: str) -> float:
        """Return the usual diameter of a cell, level-0 pixels."""
        return WORKING_DIAMETER * float(np.mean(self.factor(slide)))

    # ---- inside

    def _clicks(self, id: str) -> Annotations:
        said = self.store.annotations(id)
        return said.where(np.isin(said.kinds, (POINT, REJECTION)))

    def _predicted(self, id: str, cells: Detections | ArrayLike) -> Detections:
        """Return the predicted cells at the places given.

        Raises
        ------
        SessionError
            There is none at one of them.
        """
        if isinstance(cells, Detections):
            return cells
        places, known = checked_points(cells), self._cells(id)
        if not len(places):
            return Detections.empty()
        reach = self.cell_diameter(id) / 2
        away, which = (
            cKDTree(known.points).query(places)
            if len(known)
            else (np.full(len(places), np.inf), np.zeros(len(places), int))
        )
        if (away > reach).any():
            y, x = places[int(np.argmax(away))]
            raise SessionError(
                f"There is no predicted cell at ({y:.0f}, {x:.0f}): predict first, or use annotate."
            )
        return known[np.unique(which)]

    def _correct(
        self, id: str, cells: Detections, labels: Texts, verb: str, ending: str = ""
    ) -> list[str]:
        """Say of cells what they are; what was said of them by keys before gives way to it."""
        clicks = self._clicks(id)
        at = clicks_at(cells, clicks, self.cell_diameter(id))
        by_hand = (clicks.kinds == POINT) & (clicks.provenances != ACCEPTED)
        settled = np.append(by_hand, False)[at] | (np.append(clicks.labels, "")[at] == labels)
        cells, labels, at = cells[~settled], labels[~settled], at[~settled]
        made: list[str] = []
        with self.store.together(f"{verb} {_of_cells(cells)}{ending}"):
            self.store.delete(clicks.ids[np.unique(at[at >= 0])].tolist())
            for name in np.unique(labels).tolist():
                points = cells.points[labels == name]
                if name == BACKGROUND:
                    made += self.store.reject(id, points)
                else:
                    made += self.store.add_points(id, name, points, ACCEPTED)
        return made


def clicks_at(cells: Detections, clicks: Annotations, diameter: float) -> NDArray[np.intp]:
    """Return for each cell the index of the click at it, -1 where there is none.

    Parameters
    ----------
    cells : Detections
    clicks : Annotations
        Points and rejections.
    diameter : float
        Usual diameter of a cell, level-0 pixels; a click is at a cell within half of it.
    """
    at = np.full(len(cells), -1, dtype=np.intp)
    if len(cells) and len(clicks):
        away, nearest = cKDTree(clicks.points).query(cells.points)
        at[away <= diameter / 2] = nearest[away <= diameter / 2]
    return at


def _of_cells(cells: Detections) -> str:
    """Say what cells are: "3 tumour cells"; where they differ, "5 cells"."""
    names = np.unique(cells.labels)
    return counted(len(cells), f"{names[0]} cell" if len(names) == 1 else "cell")


def _logit(p: NDArray[np.floating]) -> NDArray[np.float64]:
    p = np.clip(np.asarray(p, dtype=np.float64), 1e-4, 1 - 1e-4)
    return np.log(p / (1 - p))
