"""The dock "XCE Annotator": its groups wired to the session and its engine.

A timer of 100 ms asks the engine what is new, sooner when the engine pulls a bell. The dock decides
nothing that a script would need: it calls the session, the engine and the viewer's binding, and
shows what they say.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary, ref

from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QApplication, QShortcut

from napari_xce.errors import XceError
from napari_xce.viewer.bell import Bell
from napari_xce.viewer.compat import (
    accept_mixed_units,
    focus_canvas,
    let_notes_go,
    warn_of_mixed_units,
)
from napari_xce.viewer.size_ring import SizeRing
from napari_xce.viewer.slide_layer import slide_layers
from napari_xce.widgets.class_desk import ClassDesk
from napari_xce.widgets.face import Face
from napari_xce.widgets.file_desk import FileDesk
from napari_xce.widgets.guide import Guide
from napari_xce.widgets.jobs import Job, Jobs
from napari_xce.widgets.numbers_desk import NumbersDesk
from napari_xce.widgets.show_desk import ShowDesk

if TYPE_CHECKING:
    import napari

    from napari_xce.engine import Message, SuggestionsReady
    from napari_xce.session import Session

TICK_MS = 100

_docks: WeakKeyDictionary[Any, ref[AnnotatorDock]] = WeakKeyDictionary()


def dock_of(viewer: napari.Viewer) -> AnnotatorDock | None:
    """Return the viewer's open dock, or None."""
    known = _docks.get(getattr(viewer, "__wrapped__", viewer))
    dock = known() if known is not None else None
    return dock if dock is not None and dock.is_open else None


class AnnotatorDock(Face):
    """Click a few cells, see them all.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        # napari hands out a proxy, whose layers are proxies too: never the same object twice
        viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        super().__init__(
            viewer,
            on_suggest=lambda: self.suggest_next(),
            on_answer=lambda key: self.guide.answer(key),
        )
        self._jobs = Jobs()
        self.numbers = NumbersDesk(
            self.measures,
            self.annotator,
            self._jobs,
            self._try,
            self.show_note,
            self.show_result,
            self._count_again,
        )
        self.files = FileDesk(
            self.export,
            self.annotator,
            self._jobs,
            self.show_note,
            self.show_result,
            self.numbers.cells_read,
        )
        self._class_desk = ClassDesk(
            self.classes, self.annotator, self._try, self.show_note, self._show_classes
        )
        self._show_desk = ShowDesk(self.show_box, self.annotator, self._threshold_moved)
        self.guide = Guide(self, self._try)
        self._ring = SizeRing(viewer)
        self._seen_revision = -1
        self._shown_session: Session | None = None
        self._connect()
        self._timer = QTimer(self)
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self.tick)
        self.annotator.wake = Bell(self._answer_bell, self).pull
        self._typed = QTimer(self)
        self._typed.setSingleShot(True)  # once Qt itself is done with the focus
        self._typed.timeout.connect(lambda: focus_canvas(self.viewer))
        self._switch = QShortcut(QKeySequence("F6"), self)
        self._switch.activated.connect(self._switch_focus)
        # not bound on the layers: napari takes "?" for a key it does not know, like "+" or "é"
        self._ask = QShortcut(QKeySequence("?"), self)
        self._ask.activated.connect(self.show_help)
        self.is_open = False
        annotator, jobs, reading = self.annotator, self._jobs, self.guide.jobs
        counter = self._counter
        self.destroyed.connect(
            lambda: (jobs.close(), reading.close(), counter.close(), annotator.shutdown())
        )
        QApplication.instance().aboutToQuit.connect(self.shutdown)
        self._start()

    # ---- what the palette's commands and the keys call

    def suggest_next(self) -> None:
        """Go to the next place where a click helps most; the engine is asked where none is left."""
        self.guide.suggest_next()

    def step(self) -> None:
        """Go to the next doubtful cell in view."""
        if self.annotator.binding is None:
            self.show_note("Choose a slide first")
        else:
            self.annotator.binding.step()

    def toggle_learning(self) -> None:
        """Learn, or pause."""
        self._learn(not self.annotator.learning)

    def ask_export(self) -> None:
        """Ask where to export the cells to."""
        self.export.ask(".geojson")

    def ask_session(self) -> None:
        """Ask which session to open."""
        self.slide._open_session()

    # ---- life and death

    def event(self, event: QEvent | None) -> bool:
        """Shut down when napari takes the widget out of its dock, which deletes nothing."""
        if event is not None and event.type() == QEvent.Type.ParentChange:
            if self.parent() is None:
                self.shutdown()
            else:
                self._start()
        return super().event(event)

    def shutdown(self) -> None:
        """Stop the engine, save, and take our layers away. May be called twice."""
        if not self.is_open:
            return
        self.is_open = False
        self._timer.stop()
        warn_of_mixed_units(self.viewer)
        self._listen(False)
        self._ring.close()
        self._jobs.close()
        self._counter.close()
        self.guide.close()
        self._try(self.annotator.shutdown)

    def _start(self) -> None:
        """Come to life, also again after a shutdown."""
        if self.is_open:
            return
        self.is_open = True
        _docks[self.viewer] = ref(self)
        self._timer.start()
        accept_mixed_units(self.viewer)
        self._listen(True)
        self._start_with_only_slide()

    # ---- the tick

    def _answer_bell(self) -> None:
        """Fetch what the engine has to tell without waiting for the timer."""
        if self.is_open:
            self.tick()

    def tick(self) -> None:
        """Ask the engine what is new and show it."""
        for message in self._messages():
            self._show_message(message)
        for job in self._jobs.finished():
            self._show_outcome(job)
        self.job_bar.show_job(self._jobs.going_on())
        self.guide.tick()
        if self._inserted:
            self._inserted = False
            if self.annotator.binding is None and self.annotator.waiting is None:
                self._start_with_only_slide()
        session = self.annotator.session
        if session is not None and session.store.revision != self._seen_revision:
            self._seen_revision = session.store.revision
            self._show_classes()
            self.numbers.show_classes()
        if self._recount:
            self._ask_counts()
        self._counter.tick()
        self._show_visible()
        self._show_mode()
        self._show_step()
        let_notes_go(self.viewer)

    def _show_outcome(self, job: Job) -> None:
        """Show what came of a job."""
        if job.lasting:
            self.show_result("")  # where it failed, too
        if job.cancelled:
            self.show_result(f"Cancelled: {job.what}")
        else:
            self._try(lambda: job.show(job.future.result()))

    def _messages(self) -> list[Message]:
        """Return what the engine says; what goes wrong at every tick is told once."""
        try:
            return self.annotator.tick()
        except XceError as error:
            self.show_error_once(str(error))
            return []

    # ---- building

    def _connect(self) -> None:
        self.slide.layer_chosen.connect(self._use_layer)
        self.slide.file_chosen.connect(self._open_file)
        self.slide.diameter_tried.connect(self._try_diameter)
        self.slide.diameter_given.connect(self._give_diameter)
        self.slide.session_chosen.connect(self.open_session)
        self.slide.session_copied.connect(self._copy_session)
        self.slide.help_wanted.connect(self.show_help)
        self.job_bar.cancelled.connect(self._jobs.cancel)
        self.classes.edited.connect(self._focus_canvas)
        self.learn.learn.connect(self._learn)
        self.learn.head_chosen.connect(self._set_head)
        self.learn.promotion_undone.connect(self._undo_promotion)
        self.counts.whole_slide.connect(self._predict_slide)
        self.counts.cancelled.connect(self._cancel_predict)
        self.counts.paused.connect(self._pause_predict)
        self.correct.step.connect(self.step)
        self.correct.lasso.connect(lambda: self._draw_around("add_polygon_lasso"))
        self.correct.rectangle.connect(lambda: self._draw_around("add_rectangle"))
        self.correct.accept.connect(lambda: self._correct("accept"))
        self.correct.reject.connect(lambda: self._correct("reject"))
        self.correct.leave.connect(lambda: self._correct("leave"))

    def _listen(self, on: bool) -> None:
        """Follow, or stop following, napari's list of layers."""
        events = self.viewer.layers.events
        for emitter in (events.inserted, events.removed, events.reordered):
            if on:
                emitter.connect(self._show_layers)
            else:
                emitter.disconnect(self._show_layers)

    def _show_suggestions(self, message: SuggestionsReady) -> None:
        self.guide.take(message)

    # ---- what the user asked for

    def _use_layer(self, layer: Any) -> None:
        self._try(lambda: self.annotator.use_layer(layer))
        self._show_slide()

    def _open_file(self, path: str) -> None:
        self._try(lambda: self.annotator.open_file(path))
        self._show_slide()

    def open_session(self, path: str | Path) -> None:
        """Go on with a session from disk."""
        self._try(lambda: self.annotator.open_session(path))
        self._show_slide()

    def use_session(self, session: Session) -> None:
        """Go on with a session that is open already; the dock closes it."""
        self._try(lambda: self.annotator.use_session(session))
        self._show_slide()

    def _copy_session(self, path: str) -> None:
        self._try(lambda: self.annotator.keep_in(path))
        self._show_slide()

    def _try_diameter(self, diameter_px: float) -> None:
        if self.annotator.waiting is not None:
            self._ring.show(self.annotator.waiting[1], diameter_px)

    def _give_diameter(self, diameter_px: float) -> None:
        self._ring.close()
        self._try(lambda: self.annotator.give_diameter(diameter_px))
        self._focus_canvas()
        self._show_slide()

    def _learn(self, on: bool) -> None:
        if self.annotator.engine is None:
            self.show_note("Choose a slide first")
            return
        self._try(lambda: self.annotator.learn(on))
        self._show_step()

    def _undo_promotion(self) -> None:
        if self.annotator.engine is not None:
            self.annotator.engine.undo_promotion()
            self.status.plot.clear()

    def _set_head(self, head: str) -> None:
        engine = self.annotator.engine
        if engine is not None:
            self._try(lambda: engine.set_head(head))
            self.status.plot.clear()
            self.show_box.show_masks_possible(head == "unet")

    def _predict_slide(self) -> None:
        annotator = self.annotator
        if annotator.engine is not None and annotator.binding is not None:
            slide_id = annotator.binding.slide_id
            self._try(lambda: annotator.engine.predict_slide(slide_id))

    def _pause_predict(self, paused: bool) -> None:
        engine = self.annotator.engine
        if engine is not None:
            self._try(lambda: engine.pause_predict(paused))

    def _cancel_predict(self) -> None:
        if self.annotator.engine is not None:
            self._try(self.annotator.engine.cancel_predict)
        self.counts.show_progress(None)

    def _draw_around(self, tool: Literal["add_polygon_lasso", "add_rectangle"]) -> None:
        if self.annotator.binding is not None:
            self.annotator.binding.corrections.draw(tool)

    def _correct(self, what: Literal["accept", "reject", "leave"]) -> None:
        if self.annotator.binding is not None:
            getattr(self.annotator.binding.corrections, what)()

    # ---- showing

    def _count_again(self, _: Any = None) -> None:
        """Count at the next tick."""
        self._recount = True

    def _threshold_moved(self) -> None:
        self._show_threshold()
        self._count_again()

    def _start_with_only_slide(self) -> None:
        """Take the only image there is; with several, let the user choose."""
        layers = slide_layers(self.viewer)
        if len(layers) == 1:
            self._use_layer(layers[0])
        else:
            self._show_slide()

    def _show_slide(self) -> None:
        """Show everything that follows from the slide and session in use."""
        self._ring.close()
        session, waiting = self.annotator.session, self.annotator.waiting
        binding = self.annotator.binding
        if session is not self._shown_session:
            self._shown_session = session
            self._jobs.forget()  # those of a session that is closed
            self.show_result("")
        self._show_layers()
        self.slide.show_session(None if session is None else Path(session.path))
        if session is not None and waiting is not None:
            self.slide.show_size("Pixel size unknown", ask=True)
            self._try_diameter(self.slide.diameter.value)
        elif binding is not None:
            self.slide.show_size(binding.size_in_words(), ask=False)
        else:
            self.slide.show_size("No slide yet", ask=False)
        self._show_folds()
        if session is not None:
            self.learn.show_head(session.head)
            self._jobs.start("getting ready", lambda: session.device, self.status.show_device)
            self.show_box.show_masks_possible(session.head == "unet")
        self.status.plot.clear()
        self.counts.show_progress(None)
        self.guide.changed_slide()
        self._show_classes()
        self.numbers.show_session()
        self.numbers.show_classes()
        self._show_step()

    def _focus_canvas(self) -> None:
        """Give the keys back to the canvas after typing."""
        self._typed.start()

    def _switch_focus(self) -> None:
        """Take the keys from the canvas to the dock, or back."""
        if self.isAncestorOf(QApplication.focusWidget() or self):
            focus_canvas(self.viewer)
        else:
            ready = self.learn.toggle.isEnabled()
            first = self.learn.toggle if ready else self.slide.open
            first.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def _try(self, act: Callable[[], Any]) -> Any:
        """Do what the user asked for; an error we raised on purpose is shown in words, and None is
        returned.
        """
        self._once.forget()
        try:
            return act()
        except XceError as error:
            self.show_error(str(error))
            return None
