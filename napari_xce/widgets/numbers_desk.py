"""What the section "Numbers" does: measuring and writing beside the GUI, areas, grades.

GUI thread; what takes longer than a moment runs on the dock's short-lived thread.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_xce.annotations.journal import counted

if TYPE_CHECKING:
    from napari_xce.viewer.binding import Binding
    from napari_xce.widgets.annotator import Annotator
    from napari_xce.widgets.jobs import Jobs
    from napari_xce.widgets.measures_box import MeasuresBox


class NumbersDesk:
    """Connects the box with the session in use.

    Parameters
    ----------
    box : MeasuresBox
    annotator : Annotator
    jobs : Jobs
    attempt : callable
        Does something; shows the sentence of an XceError and returns None.
    note : callable
        Shows a passing remark.
    tell : callable
        Shows what a job is about, and what came of it.
    tissue_found : callable
        Called when the densities of the slide in use can be told.
    """

    def __init__(
        self,
        box: MeasuresBox,
        annotator: Annotator,
        jobs: Jobs,
        attempt: Callable[[Callable[[], Any]], Any],
        note: Callable[[str], None],
        tell: Callable[[str], None],
        tissue_found: Callable[[Any], None],
    ) -> None:
        self.box = box
        self._annotator = annotator
        self._jobs = jobs
        self._try = attempt
        self._note = note
        self._tell = tell
        self._tissue_found = tissue_found
        box.measure.connect(self.measure)
        box.draw.connect(lambda mode: self._with(lambda b: b.draw_area(mode)))
        box.renamed.connect(
            lambda area, new: self._change(lambda b: b.session.rename_area(area, new, b.slide_id))
        )
        box.deleted.connect(
            lambda area: self._change(lambda b: b.session.delete_area(area, b.slide_id))
        )
        box.imported.connect(self._import_areas)
        box.graded.connect(self._grade)
        box.tabled.connect(lambda path: self._write("export_measures", path))
        box.reported.connect(lambda path: self._write("report", path))

    @property
    def _binding(self) -> Binding | None:
        return self._annotator.binding

    def show_session(self) -> None:
        """Begin anew with the slide in use; its tissue is found meanwhile, for the densities."""
        self.box.show_measures([], [])
        binding = self._binding
        if binding is not None:
            session, slide_id = binding.session, binding.slide_id
            self._jobs.start(
                "finding the tissue", lambda: session.tissue(slide_id), self._tissue_found
            )

    def show_classes(self) -> None:
        """Offer the classes that stand as grades."""
        binding = self._binding
        if binding is not None:
            self.box.show_classes(binding.session.classes, binding.session.grades)

    def measure(self) -> None:
        """Count everything anew."""
        binding = self._binding
        if binding is None:
            self._note("Choose a slide first")
            return
        session, slide_id, view = binding.session, binding.slide_id, binding.box
        areas = [area.name for area in session.areas(slide_id)]
        self._note("Measuring…")

        def show(measures: Any) -> None:
            if self._binding is binding:
                self.box.show_measures(measures, areas)
                self._note("Measured")

        self._jobs.start("measuring", lambda: session.measure_all(slide_id, view), show)

    def cells_read(self) -> None:
        """Measure cells of another program."""
        self._tissue_found(None)
        self.show_classes()
        self.measure()

    def _grade(self, grades: dict[str, str | None]) -> None:
        self._with(lambda b: b.session.set_grades(**grades))
        self.show_classes()
        self.measure()

    def _import_areas(self, path: str) -> None:
        """Read areas in beside the GUI."""
        binding = self._binding
        if binding is None:
            self._note("Choose a slide first")
            return
        name = Path(path).name

        def show(names: list[str]) -> None:
            self._tell(f"{counted(len(names), 'area')} read from {name}; Ctrl+Z takes them back")
            if self._binding is binding:
                binding.show_areas()

        self._tell(f"Reading {name}…")
        work = partial(binding.session.import_areas, path, binding.slide_id)
        self._jobs.start(f"reading {name}", work, show, lasting=True)

    def _write(self, what: str, path: str) -> None:
        """Write a table or a report of the slide in use."""
        binding = self._binding
        if binding is None:
            return
        name, folder = Path(path).name, Path(path).parent
        work = partial(getattr(binding.session, what), path, slide=binding.slide_id)
        self._tell(f"Writing {name}…")
        self._jobs.start(
            f"writing {name}",
            work,
            lambda _: self._tell(f"Written {name} to {folder}"),
            lasting=True,
        )

    def _change(self, change: Callable[[Binding], Any]) -> None:
        """Change areas, and show them; where they are others than before, they are measured."""
        self._with(change)
        self._with(lambda b: b.show_areas())

    def _with(self, act: Callable[[Binding], Any]) -> Any:
        """Do something with the slide in use, if there is one."""
        binding = self._binding
        if binding is None:
            self._note("Choose a slide first")
            return None
        return self._try(lambda: act(binding))
