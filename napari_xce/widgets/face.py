"""What the dock looks like, and what it shows of the session, the engine and the view.

The main job is pinned at the top; the sections below it fold and scroll. Nothing here changes
anything but which of them are open: see :mod:`.dock` for the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QMessageBox, QScrollArea, QVBoxLayout, QWidget

from napari_xce.annotations import BACKGROUND
from napari_xce.engine import (
    Failed,
    Message,
    ModelReady,
    Progress,
    Promoted,
    Status,
    SuggestionsReady,
)
from napari_xce.viewer.binding import Hooks
from napari_xce.viewer.compat import focus_canvas
from napari_xce.viewer.slide_layer import slide_layers
from napari_xce.widgets.annotator import Annotator
from napari_xce.widgets.class_box import ClassBox
from napari_xce.widgets.correct_box import CorrectBox
from napari_xce.widgets.counting import NOTHING_YET, Counted, Counter
from napari_xce.widgets.counts_box import CountsBox
from napari_xce.widgets.export_box import ExportBox
from napari_xce.widgets.help import HELP, next_step
from napari_xce.widgets.job_bar import JobBar
from napari_xce.widgets.keyboard import FOCUS, FocusReturns, WheelScrolls, tab_stops
from napari_xce.widgets.learn_box import LearnBox
from napari_xce.widgets.measures_box import MeasuresBox
from napari_xce.widgets.once import Once
from napari_xce.widgets.quality_box import QualityBox
from napari_xce.widgets.section import Fold, small_text
from napari_xce.widgets.show_box import ShowBox
from napari_xce.widgets.slide_box import SlideBox
from napari_xce.widgets.status_card import StatusCard
from napari_xce.widgets.suggest_box import SuggestBox

if TYPE_CHECKING:
    import napari

OPEN_SECTIONS = "open_sections"  # the session's setting: title to whether it is open
MIN_FOLDS_PX = 120
HINT_PX = 44
UNLIKE = "background: rgba(213, 94, 0, 60); border-left: 4px solid #d55e00; padding: 4px;"


class Face(QWidget):
    """The groups of the dock, and the words and numbers in them.

    Parameters
    ----------
    viewer : napari.Viewer
    on_suggest : callable
        Called when the key for the next suggestion is pressed on the canvas.
    on_answer : callable
        Called with every other key of ours; returns whether it was about a suggested place.
    """

    def __init__(
        self,
        viewer: napari.Viewer,
        on_suggest: Callable[[], None],
        on_answer: Callable[[str], bool],
    ) -> None:
        super().__init__()
        self.viewer = viewer
        hooks = Hooks(
            error=self.show_error,
            note=self.show_note,
            class_chosen=self._show_classes,
            suggest=on_suggest,
            areas_changed=lambda: self.measures.measure.emit(),
            answer=on_answer,
        )
        self.annotator = Annotator(viewer, hooks)
        self._inserted = False  # a layer was added since the last tick
        self._learnt = False  # training has nothing more to gain
        self._once = Once()
        self._counter = Counter(self._show_counts)
        self._recount = True
        self._build()

    def _build(self) -> None:
        self.setStyleSheet(FOCUS)
        self.hint = small_text("")
        self.hint.setMinimumHeight(HINT_PX)  # two lines: nothing below jumps from step to step
        self.hint.setStyleSheet(
            "background: rgba(255, 212, 0, 40); border-left: 4px solid #ffd400; "
            "padding: 6px; font-weight: bold;"
        )
        self.slide = SlideBox()
        self.classes = ClassBox()
        self.learn = LearnBox()
        self.status = StatusCard()
        self.show_box = ShowBox()
        self.counts = CountsBox()
        self.measures = MeasuresBox()
        self.suggest = SuggestBox()
        self.correct = CorrectBox()
        self.quality = QualityBox()
        self.unlike = small_text("")
        self.unlike.setStyleSheet(UNLIKE)
        self.unlike.setVisible(False)
        self.export = ExportBox()
        self.job_bar = JobBar()
        pinned, folds = QVBoxLayout(), self._build_folds()
        pinned.setContentsMargins(8, 4, 8, 4)
        pinned.setSpacing(5)
        for group in self._pinned():
            pinned.addWidget(group)
        outside = QVBoxLayout(self)
        outside.setContentsMargins(0, 0, 0, 0)
        outside.setSpacing(0)
        outside.addLayout(pinned)
        outside.addWidget(folds, 1)
        outside.addWidget(self.job_bar)
        self.setMinimumWidth(336)  # with the scroll bar that open sections bring
        stops = tab_stops([*self._pinned(), *self._folds(), self.job_bar])
        for before, after in pairwise(stops):
            QWidget.setTabOrder(before, after)
        self._returns = FocusReturns(self, lambda: focus_canvas(self.viewer))
        for stop in stops:
            stop.installEventFilter(self._returns)
        self._wheel = WheelScrolls(self)
        for fold in self._folds():
            for stop in tab_stops([fold]):
                stop.setFocusPolicy(Qt.FocusPolicy.TabFocus)
                stop.installEventFilter(self._wheel)

    def _pinned(self) -> list[QWidget]:
        """Return the groups of the main job, in the order of work; they never scroll away."""
        return [self.hint, self.unlike, self.slide, self.classes, self.learn, self.status]

    def _folds(self) -> list[Fold]:
        """Return the sections below the main job, in the order of work."""
        return [
            self.suggest,
            self.correct,
            self.quality,
            self.show_box,
            self.counts,
            self.measures,
            self.export,
        ]

    def _build_folds(self) -> QScrollArea:
        """Return the sections one below the other, with a scroll bar where they need it."""
        inside = QWidget()
        rows = QVBoxLayout(inside)
        rows.setContentsMargins(8, 0, 8, 4)
        rows.setSpacing(3)
        for fold in self._folds():
            rows.addWidget(fold)
            fold.folded.connect(self._keep_folds)
        rows.addStretch(1)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setMinimumHeight(MIN_FOLDS_PX)
        area.setWidget(inside)
        return area

    def _keep_folds(self) -> None:
        """Remember in the session which sections are open."""
        session = self.annotator.session
        if session is not None:
            session.store.set_setting(
                OPEN_SECTIONS, {fold.title: fold.is_open for fold in self._folds()}
            )

    def _show_folds(self) -> None:
        """Open the sections that were open when this session was last used."""
        session = self.annotator.session
        kept = session.store.get_setting(OPEN_SECTIONS, {}) if session is not None else {}
        for fold in self._folds():
            fold.show_open(kept.get(fold.title, fold.is_open))

    def show_error(self, sentence: str) -> None:
        """Show in words what went wrong with what the user asked for."""
        show_error(sentence)

    def show_error_once(self, sentence: str) -> None:
        """Show what went wrong in the background, which tries again and again."""
        if self._once.is_new(sentence):
            show_error(sentence)

    def show_note(self, sentence: str) -> None:
        """Show a passing remark in napari's status bar."""
        self.viewer.status = sentence

    def show_result(self, sentence: str) -> None:
        """Show what a job is about, or what came of it, at the bottom of the dock."""
        self.job_bar.show_result(sentence)

    def show_help(self) -> None:
        """Show the keys."""
        box = QMessageBox(QMessageBox.Icon.NoIcon, "XCE Annotator", HELP, parent=self)
        box.setTextFormat(Qt.TextFormat.RichText)
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.open()

    def _show_message(self, message: Message) -> None:
        self._recount = True
        if isinstance(message, Status):
            self._learnt = message.state == "learnt"
            self.status.show_status(message)
        elif isinstance(message, ModelReady):
            self._show_threshold()
        elif isinstance(message, SuggestionsReady):
            self._show_suggestions(message)
        elif isinstance(message, Progress):
            done = message.done >= message.total
            self.counts.show_progress(
                None if done else (message.done, message.total, message.seconds_left),
                message.paused,
            )
        elif isinstance(message, Failed):
            self.counts.show_progress(None)
            self.show_error_once(message.message)
        elif isinstance(message, Promoted) and message.message:
            self.show_note(message.message)

    def _show_suggestions(self, message: SuggestionsReady) -> None:
        """Take over suggested places; the dock asks about the first."""

    def _show_layers(self, event: Any = None) -> None:
        self._inserted |= event is not None and event.type == "inserted"
        binding, waiting = self.annotator.binding, self.annotator.waiting
        current = binding.slide_layer if binding is not None else waiting and waiting[1]
        layers = slide_layers(self.viewer)
        self.slide.show_layers(layers, current if current in layers else None)

    def _show_classes(self, current: str | None = None) -> None:
        session, binding = self.annotator.session, self.annotator.binding
        if session is None:
            self.classes.show_classes([], {}, None)
            return
        stands = session.store.annotations(binding.slide_id if binding else None)
        clicks = stands.labels[stands.kinds != "region"]
        counts = {found.name: int((clicks == found.name).sum()) for found in session.classes}
        chosen = binding.current if binding is not None else None
        self.classes.show_classes(session.classes, counts, chosen)
        self._show_threshold()
        self._recount = True

    def _show_threshold(self) -> None:
        binding = self.annotator.binding
        if binding is not None:
            name = binding.current
            threshold = binding.session.thresholds.get(name, 0.5)
            own = name in binding.session.own_thresholds
            color = binding.colors().get(name) if name != BACKGROUND else None
            self.show_box.show_threshold(color, threshold, own)

    def _ask_counts(self) -> None:
        """Have what is in view and on the slide counted."""
        binding, self._recount = self.annotator.binding, False
        if binding is None:
            self._counter.forget()
            self._show_counts(Counted([], NOTHING_YET, ""))
        else:
            self._counter.ask(binding.session, binding.slide_id, binding.box)

    def _show_counts(self, counted: Counted) -> None:
        self.counts.show_counts(counted.rows, counted.covered)
        self.status.show_freshness(counted.fresh)

    def _show_visible(self) -> None:
        if self.annotator.binding is not None:
            for what, visible in self.annotator.binding.visible.items():
                self.show_box.show_visible(what, visible)
            if self.annotator.binding.moved:
                self.annotator.binding.moved = False
                self._recount = True

    def _show_mode(self) -> None:
        binding = self.annotator.binding
        self.correct.show_mode(binding.corrections.mode if binding is not None else "")

    def _show_step(self) -> None:
        """Say in one line what to do next."""
        annotator = self.annotator
        stands = annotator.session.store.annotations() if annotator.session is not None else ()
        self.learn.show_state(annotator.learning, ready=len(stands) > 0)
        for fold in self._folds():
            fold.body.setEnabled(annotator.binding is not None)
        session = annotator.session
        self.learn.show_promoted(session is not None and session.can_undo_promotion)
        words = next_step(annotator, len(stands), self._learnt)
        if words != self.hint.text():
            self.hint.setText(words)
