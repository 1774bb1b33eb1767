"""The session in use, its engine, and the slide on screen: everything the dock does, without its
widgets.

GUI thread only. Every method may raise an XceError whose sentence the dock shows.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from napari_xce.engine import Engine, Message
from napari_xce.session import Session
from napari_xce.slides import open_slide
from napari_xce.slides.slide import Slide
from napari_xce.viewer.binding import Binding, Hooks
from napari_xce.viewer.slide_layer import add_slide_layer, layer_of, slide_layers, slide_of
from napari_xce.widgets.sessions import session_for

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image


class Annotator:
    """Owns at most one session, one engine and one binding.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    hooks : Hooks
        What to tell the dock.
    """

    def __init__(self, viewer: ViewerModel, hooks: Hooks) -> None:
        self.viewer = viewer
        self.hooks = hooks
        self.session: Session | None = None
        self.engine: Engine | None = None
        self.binding: Binding | None = None
        self.waiting: tuple[str, Image] | None = None  # a slide without pixel size, and its layer
        self.learning = False
        self.wake: Callable[[], None] | None = None  # pulled when the engine has something to tell

    # ---- slides and sessions

    def use_layer(self, layer: Image) -> None:
        """Work on this layer's slide; the first one brings a session of its own."""
        slide = slide_of(layer)
        if self.session is None:
            self._adopt(session_for(slide))
        assert self.session is not None
        self._bind(self._id_of(slide), layer)

    def open_file(self, path: str) -> None:
        """Show a slide file and work on it."""
        self.use_layer(add_slide_layer(self.viewer, open_slide(path)))

    def open_session(self, path: str | Path) -> None:
        """Go on with a session from disk."""
        self.use_session(Session.open(path))

    def use_session(self, session: Session) -> None:
        """Go on with an open session: its slides are shown, the first one is worked on.

        A slide that has no file, such as an array, is found among the layers by its fingerprint.
        """
        self.shutdown()
        self._adopt(session)
        known = {record.fingerprint for record in session.store.slides().values()}
        for slide in [slide_of(layer) for layer in slide_layers(self.viewer)]:
            if slide.fingerprint in known:
                self._id_of(slide)
        for slide_id, slide in session.slides.items():
            layer = layer_of(self.viewer, slide) or add_slide_layer(self.viewer, slide)
            if self.binding is None and self.waiting is None:
                self._bind(slide_id, layer)

    def keep_in(self, path: str | Path) -> None:
        """Copy the session to another folder and go on there."""
        assert self.session is not None
        source, target = Path(self.session.path), Path(path).with_suffix(".xce")
        layer = self.binding.slide_layer if self.binding is not None else None
        self.shutdown()
        try:
            shutil.copytree(source, target)
        except OSError as error:
            self.hooks.error(f"The session could not be copied to {target}: {error}")
            target = source
        self._adopt(Session.open(target))
        if layer is not None and layer in self.viewer.layers:
            self.use_layer(layer)

    def give_diameter(self, diameter_px: float) -> None:
        """Say how wide a cell is on a slide without pixel size, and start on it."""
        assert self.session is not None
        assert self.waiting is not None
        slide_id, layer = self.waiting
        self.session.set_cell_diameter(slide_id, diameter_px)
        self.waiting = None
        self._bind(slide_id, layer)

    def release_slide(self) -> None:
        """Let go of the slide: its layers go, the session stays."""
        if self.binding is not None:
            self.binding.close()
            self.binding = None
        self.waiting = None

    def shutdown(self) -> None:
        """Stop the engine, save, close the session, take our layers away. May be called twice."""
        self.release_slide()
        if self.engine is not None:
            self.engine.shutdown()
            self.engine = None
        if self.session is not None:
            self._keep_shown_slides()
            self.session.close()
            self.session = None
        self.learning = False

    # ---- learning

    def learn(self, on: bool) -> None:
        """Learn, or pause."""
        assert self.engine is not None
        if on:
            self.engine.resume()
        else:
            self.engine.pause()
        self.learning = on

    def tick(self) -> list[Message]:
        """Bring the layers up to date with the engine; return its messages."""
        if self.binding is not None:
            messages = self.binding.tick()
            if not self.binding.alive:  # the slide's layer was removed
                self.release_slide()
            return messages
        return self.engine.poll() if self.engine is not None else []

    # ---- inside

    def _wake(self) -> None:
        """Ask for a tick soon."""
        if self.wake is not None:
            self.wake()

    def _adopt(self, session: Session) -> None:
        self.session = session
        self.engine = Engine(session, self.wake)
        self.engine.pause()
        self.engine.start()

    def _keep_shown_slides(self) -> None:
        """Take slides that a layer still shows out of the session, which would close them."""
        assert self.session is not None
        shown = [slide_of(layer) for layer in slide_layers(self.viewer)]
        for slide_id, slide in list(self.session.slides.items()):
            if any(slide is other for other in shown):
                del self.session.slides[slide_id]

    def _id_of(self, slide: Slide) -> str:
        """Return the slide's id in the session; one that is not in it yet is added."""
        assert self.session is not None
        for slide_id, record in self.session.store.slides().items():
            if record.fingerprint == slide.fingerprint and slide_id in self.session.slides:
                return slide_id
        return str(self.session.add_slide(slide))

    def _bind(self, slide_id: str, layer: Image) -> None:
        assert self.session is not None
        assert self.engine is not None
        self.release_slide()
        record = self.session.store.slides()[slide_id]
        if self.session.slides[slide_id].mpp is None and record.cell_diameter_px is None:
            self.waiting = (slide_id, layer)
            return
        self.binding = Binding(
            self.viewer, self.session, self.engine, slide_id, layer, self.hooks, self._wake
        )
