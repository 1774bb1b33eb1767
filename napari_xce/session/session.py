"""The session itself: opening and closing, and what the user says."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from numpy.typing import ArrayLike

from napari_xce.annotations import Annotations, CellClass, Store
from napari_xce.annotations.classes import clean_name
from napari_xce.errors import SessionError
from napari_xce.learning.model import Head
from napari_xce.session.model import check_head
from napari_xce.session.reports import SessionReports


class Session(SessionReports):
    """An annotation project. Use `Session.create` or `Session.open`; any thread may call.

    Attributes
    ----------
    path : Path
        The directory.
    store : Store
        What was said, in SQLite.
    slides : dict of str to Slide
        The slides that could be opened, by id.
    predictions : dict of str to SlidePredictions
        What was predicted, by slide.
    lock : RLock
        Held by whoever uses the model.
    """

    # ---- open, close

    @classmethod
    def create(
        cls, path: str | Path, classes: Iterable[str] = ("cell",), head: Head = "yollo"
    ) -> Session:
        """Create a session.

        Parameters
        ----------
        path : path
            A directory that does not exist yet, or is empty; ``.xce`` is the usual ending.
        classes : iterable of str
            Names of the first classes.
        head : {"yollo", "unet"}
            Detection or segmentation.

        Raises
        ------
        SessionError
            There is something at the path, it cannot be written to, or a name will not do.
        """
        path = Path(path)
        check_head(head)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise SessionError(f"There is already something at {path}. Open it, or choose a name.")
        existed = path.exists()
        try:
            path.mkdir(parents=True, exist_ok=True)
            with Store.create(path / "session.sqlite") as store:
                for name in [classes] if isinstance(classes, str) else classes:
                    store.add_class(name)
                store.set_setting("head", head)
        except OSError as error:
            raise SessionError(
                f"No session can be created at {path} ({error.strerror}). Choose another folder."
            ) from error
        except SessionError:
            for left in path.iterdir():
                left.unlink()
            if not existed:
                path.rmdir()
            raise
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path) -> Session:
        """Open a session with its slides, annotations, model and predictions.

        A slide whose file is gone is left out with a warning; ``add_slide`` brings it back, as it
        does slides that are arrays.

        Raises
        ------
        SessionError
            There is no session, it is damaged, or another program has it.
        """
        path = Path(path)
        if not (path / "session.sqlite").is_file():
            raise SessionError(f"There is no session at {path}: it has no session.sqlite.")
        store = Store.open(path / "session.sqlite")
        try:
            session = cls(path, store)
            session._reopen_slides()
        except BaseException:
            store.close()
            raise
        return session

    def close(self) -> None:
        """Save model and predictions and let everything go. Closing twice does nothing."""
        with self.lock:
            if self._closed:
                return
            try:
                self.save()
            finally:
                self._closed = True
                for predictions in self.predictions.values():
                    predictions.close()
                for slide in self.slides.values():
                    slide.close()
                self.store.close()

    def save(self) -> None:
        """Write the model and the predictions; what was said is on disk already.

        Raises
        ------
        SessionError, ModelError
            They cannot be written.
        """
        with self.lock:
            self._refuse_closed()
            self._save_model()  # first: predictions of a model that was not saved are worth nothing
            self._save_cells()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # ---- classes

    def add_class(self, name: str, color: str | None = None, key: str | None = None) -> CellClass:
        """Add a class at any time; see ``Store.add_class``."""
        added = self.store.add_class(name, color, key)
        self.follow_classes()
        return added

    def rename_class(self, name: str, new: str) -> str:
        """Give a class another name; what was said, learnt and found of it stays.

        Returns
        -------
        str
            The new name as it is kept, without superfluous spaces.

        Raises
        ------
        SessionError
            No such class, it is background, or the new name is empty or taken.
        """
        self.store.rename_class(name, new)
        self.follow_classes()
        return clean_name(new)

    def delete_class(self, name: str) -> None:
        """Delete a class with its annotations and what was found of it; undo brings back what was
        said.

        Raises
        ------
        SessionError
            No such class, or it is background.
        """
        self.store.delete_class(name)
        self.follow_classes()

    def merge_class(self, name: str, into: str) -> None:
        """Make a class part of another one: what was said of it is then said of that one.

        What was found of it is forgotten; the model finds it as the other once it has learnt anew.
        Undo parts what was said again.

        Raises
        ------
        SessionError
            No such class, one of them is background, or both are the same.
        """
        self.store.merge_class(name, into)
        self.follow_classes()

    # ---- what the user says

    def annotate(self, name: str, points: ArrayLike, slide: str | None = None) -> list[str]:
        """Say that there are cells of a class.

        Parameters
        ----------
        name : str
            The class.
        points : array_like, float, shape (N, 2)
            Centres (y, x), level-0 pixels.
        slide : str, optional
            Not needed when there is one slide.

        Returns
        -------
        list of str
            Ids of the annotations.

        Raises
        ------
        SessionError
            No such class or open slide, or the points are not finite numbers of shape (N, 2).
        """
        return self.store.add_points(self._slide_id(slide), name, points)

    def add_mask(self, name: str, polygon: ArrayLike, slide: str | None = None) -> str:
        """Say that an area, polygon (M, 2) in level-0 pixels, is a cell of a class."""
        return self.store.add_mask(self._slide_id(slide), name, polygon)

    def review(
        self, rectangle: ArrayLike, slide: str | None = None, set_aside: bool = False
    ) -> str:
        """Declare a region complete: inside it, what is not annotated is background.

        Parameters
        ----------
        rectangle : array_like, float
            Two corners ((y0, x0), (y1, x1)), or a polygon of shape (M, 2); level-0 pixels.
        slide : str, optional
            Not needed when there is one slide.
        set_aside : bool
            Keep the region for testing: learning sees neither it nor what is said inside it, and
            ``evaluate`` measures there.

        Returns
        -------
        str
            Id of the region.

        Raises
        ------
        SessionError
            No such open slide, or the region encloses nothing.
        """
        return self.store.review(self._slide_id(slide), rectangle, set_aside)

    def annotations(self, slide: str | None = None) -> Annotations:
        """Return what stands now, on one slide or on all."""
        return self.store.annotations(slide)

    def undo(self) -> str | None:
        """Take back the last thing said; returns what it was, in words."""
        words = self.store.undo()
        self.follow_classes()
        return words

    def redo(self) -> str | None:
        """Say again what was undone last; returns what it was, in words."""
        words = self.store.redo()
        self.follow_classes()
        return words
