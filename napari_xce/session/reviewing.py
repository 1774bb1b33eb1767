"""Declaring places complete: a region that was gone through, and "nothing here"."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from napari_xce.annotations.shapes import checked_region
from napari_xce.session.corrections import SessionCorrections
from napari_xce.session.slides import WORKING_DIAMETER

#: Side of the square that "nothing here" declares empty, cell diameters.
NOTHING_SIDE = 3.0


class SessionReviewing(SessionCorrections):
    """The part of a session that declares places complete."""

    def complete(
        self, rectangle: ArrayLike, slide: str | None = None, set_aside: bool = False
    ) -> str:
        """Declare complete a region that was gone through: what is found there now is right.

        The cells found inside, unless something was said of them, become points (accepted); then
        the region is reviewed. One step of undo.

        Parameters
        ----------
        rectangle : array_like, float
            Two corners ((y0, x0), (y1, x1)), or a polygon of shape (M, 2); level-0 pixels.
        slide : str, optional
            Not needed when there is one slide.
        set_aside : bool
            Keep the region for testing; see `review`.

        Returns
        -------
        str
            Id of the region.

        Raises
        ------
        SessionError
            No such open slide, or the region encloses nothing.
        """
        id = self._slide_id(slide)
        polygon = checked_region(rectangle)
        with self.store.together("Complete a region"):
            self.accept(self.found(polygon, id), id)
            return self.store.review(id, polygon, set_aside)

    def nothing_here(self, yx: tuple[float, float], slide: str | None = None) -> str:
        """Declare empty a square of three cells' width around a place; return the region's id.

        Raises
        ------
        SessionError
            No such open slide.
        """
        id = self._slide_id(slide)
        half = np.array(self.factor(id)) * (WORKING_DIAMETER * NOTHING_SIDE / 2)
        return self.store.review(id, [np.array(yx) - half, np.array(yx) + half])
