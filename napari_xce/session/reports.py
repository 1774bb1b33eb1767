"""A report of one slide, from what a session knows."""

from __future__ import annotations

import time
from pathlib import Path

from napari_xce import __version__
from napari_xce.annotations.records import REGION
from napari_xce.errors import ExchangeError, SessionError
from napari_xce.evaluation.quality import doubts
from napari_xce.report import Quality, check_format, make_page
from napari_xce.report import write as write_page
from napari_xce.session.measures import SessionMeasures

_HEADS = {"yollo": "detection (yollo)", "unet": "segmentation (unet)"}


class SessionReports(SessionMeasures):
    """The part of a session that reports."""

    def report(self, path: str | Path, slide: str | None = None) -> Path:
        """Write one page on a slide: maps, hot spots, counts, indices, model, accuracy.

        Parameters
        ----------
        path : path
            Ends in ``.pdf`` or ``.html``; the web page is one file that fetches nothing.
        slide : str, optional
            Not needed when there is one slide.

        Returns
        -------
        Path
            The file written.

        Raises
        ------
        ExchangeError
            The format is unknown, nothing has been predicted, or the file cannot be written; one
            that was there is kept.

        Notes
        -----
        The cells are those found so far: call ``predict`` first for a whole slide. Accuracy is that
        of :meth:`evaluate` where this slide has reviewed regions.
        """
        id = self._slide_id(slide)
        check_format(path)
        if not self.predictions[id].detections.tiles():
            raise ExchangeError(
                f"Nothing has been predicted on {self.slides[id].name} yet, so there is nothing to "
                'report. Call predict() first, or press "Predict the whole slide".'
            )
        quality = self._quality(id)  # may predict the reviewed regions, so it goes first
        page = make_page(
            self.slides[id],
            self._cells(id),
            [found for found in self.classes if found.id != 0],
            self.measure_all(id),
            self.areas(id),
            factor=self.factor(id),
            quality=quality,
            model=self._model_words(),
            lines=self._report_lines(id),
        )
        write_page(page, path)
        return Path(path)

    def _quality(self, id: str) -> Quality:
        """Measure the accuracy on a slide, or say why it is unknown."""
        regions = self.store.annotations(id).of_kind(REGION)
        if not len(regions):
            return Quality({}, "No region of this slide has been reviewed.")
        try:
            found = self.quality(id)
        except SessionError as error:
            return Quality({}, str(error))
        which = "regions that the model never learnt from" if found.tested else "reviewed regions"
        words = [f"In {which}, with 95 % intervals.", *doubts(found)]
        return Quality(found.scores, " ".join(words))

    def _model_words(self) -> list[tuple[str, str]]:
        """Say of the model what it is and what it learnt from."""
        said = self.store.annotations()
        counts = {n: int((said.labels == n).sum()) for n in self.class_names}
        learnt_from = {self.store.slides()[id].name for id in set(said.slides.tolist())}
        clicks = ", ".join(f"{n} {count:,}" for n, count in counts.items() if count)
        thresholds = ", ".join(f"{n} {t:.2f}" for n, t in self.thresholds.items())
        return [
            ("Head", _HEADS[self.head]),
            ("Annotated cells", clicks or "none"),
            ("Learnt from", ", ".join(sorted(learnt_from)) or "–"),
            ("Score from which a cell counts", thresholds or "–"),
            ("Resolution", "0.5 µm per pixel"),
        ]

    def _report_lines(self, id: str) -> list[str]:
        """Say which slide, session and program this is about."""
        slide = self.slides[id]
        size = f"{slide.shape[1]:,} × {slide.shape[0]:,} px"
        pixel = (
            "pixel size unknown"
            if slide.mpp is None
            else f"{slide.mpp[1]:.4g} × {slide.mpp[0]:.4g} µm/px (from {slide.mpp_source})"
        )
        made = time.strftime("%Y-%m-%d %H:%M")
        return [
            f"{size}, {pixel}",
            f"Session {self.path.name}. Written {made} by napari-xce {__version__}.",
        ]
