"""What the section "Files" does: cells, masks and the model out, points and cells in.

GUI thread; files are written and read by jobs: one that is cancelled leaves nothing half done.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_xce.viewer.binding import Binding
    from napari_xce.widgets.annotator import Annotator
    from napari_xce.widgets.export_box import ExportBox
    from napari_xce.widgets.jobs import Jobs

#: Points that are learnt from and drawn one by one; with more the window would no longer be quick.
MOST_POINTS = 20_000


class FileDesk:
    """Connects the box with the session in use.

    Parameters
    ----------
    box : ExportBox
    annotator : Annotator
    jobs : Jobs
    note : callable
        Shows a passing remark.
    tell : callable
        Shows what a job is about, and what came of it.
    cells_read : callable
        Called when cells of another program stand in the place of those found here.
    """

    def __init__(
        self,
        box: ExportBox,
        annotator: Annotator,
        jobs: Jobs,
        note: Callable[[str], None],
        tell: Callable[[str], None],
        cells_read: Callable[[], None],
    ) -> None:
        self._annotator = annotator
        self._jobs = jobs
        self._note = note
        self._tell = tell
        self._cells_read = cells_read
        box.exported.connect(self.export)
        box.imported.connect(self.import_points)
        box.cells_imported.connect(self.import_cells)

    def export(self, path: str) -> None:
        """Write the slide in use to a file."""
        binding = self._binding()
        if binding is not None:
            name, folder = Path(path).name, Path(path).parent
            work = partial(binding.session.export, path, slide=binding.slide_id)
            self._jobs.start(
                f"exporting {name}",
                work,
                lambda _: self._tell(f"Exported {name} to {folder}"),
                lasting=True,
            )
            self._tell(f"Exporting {name}…")

    def import_points(self, path: str) -> None:
        """Read points in, to learn from."""
        binding = self._binding()
        if binding is not None:
            work = partial(binding.session.import_points, path, binding.slide_id, most=MOST_POINTS)
            self._read(path, work, "{:,} annotations read from {}; Ctrl+Z takes them back")

    def import_cells(self, path: str) -> None:
        """Read in cells of another program, which may be a million, to look at and count."""
        binding = self._binding()
        if binding is not None:
            work = partial(binding.session.import_cells, path, binding.slide_id)
            self._read(path, work, "{:,} cells read from {}", partial(self._show_cells, binding))

    def _read(
        self,
        path: str,
        work: Callable[[], int],
        words: str,
        then: Callable[[], None] = lambda: None,
    ) -> None:
        """Read a file beside the GUI, then say how much was read; napari shows what it warns of."""
        name = Path(path).name

        def show(count: int) -> None:
            self._tell(words.format(count, name))
            then()

        self._tell(f"Reading {name}…")
        self._jobs.start(f"reading {name}", work, show, lasting=True)

    def _show_cells(self, binding: Binding) -> None:
        if self._annotator.binding is binding:
            binding.predictions_replaced()
            self._cells_read()

    def _binding(self) -> Any:
        """Return the slide in use; where there is none, ask for one."""
        if self._annotator.binding is None:
            self._note("Choose a slide first")
        return self._annotator.binding
