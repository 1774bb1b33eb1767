"""Where a session lives when nobody said: beside the slide if that can be written, else in the home
folder.
"""

from __future__ import annotations

import os
from pathlib import Path

from napari_xce.annotations.database import holds_slide
from napari_xce.errors import SessionError
from napari_xce.session import Session
from napari_xce.slides.slide import Slide

FIRST_CLASS = "cell"  # so that the first click counts, before anything was named


def session_for(slide: Slide) -> Session:
    """Open the session kept for this slide, or create one.

    Parameters
    ----------
    slide : Slide

    Returns
    -------
    Session
        One that holds a slide of the same fingerprint, or a new one, empty but for one class.

    Raises
    ------
    SessionError
        If neither place can be written to, or the slide's session is open in another program or
        damaged beyond repair.
    """
    folder = _folder_for(slide)
    stem = _stem(slide)
    for number in range(1, 1000):
        path = folder / (f"{stem}.xce" if number == 1 else f"{stem}-{number}.xce")
        if not path.exists():
            return Session.create(path, classes=[FIRST_CLASS], head="yollo")
        try:
            session = Session.open(path)
        except SessionError:  # open elsewhere, or damaged
            if holds_slide(path / "session.sqlite", slide.fingerprint) is not False:
                raise  # a new session would look as if all clicks were lost
            continue
        if any(r.fingerprint == slide.fingerprint for r in session.store.slides().values()):
            return session
        session.close()
    raise SessionError(f"{folder} is full of sessions named {stem}; choose another folder.")


def _folder_for(slide: Slide) -> Path:
    """Return the slide's own folder, or ``~/napari-xce`` where that cannot be written to."""
    if slide.path is not None:
        folder = slide.path.resolve().parent
        if os.access(folder, os.W_OK):
            return folder
    folder = Path.home() / "napari-xce"
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise SessionError(
            f"No session can be kept in {folder} ({error.strerror}). Make it writable."
        ) from error
    return folder


def _stem(slide: Slide) -> str:
    """Return a file name for the slide, without its suffix or anything a file system dislikes."""
    name = slide.path.stem if slide.path is not None else slide.name
    kept = "".join(c if c.isalnum() or c in "-_. ()" else "_" for c in name).strip(" .")
    return kept or "slide"
