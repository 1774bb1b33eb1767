"""Start napari with the dock, for the command line. Importing this loads neither napari nor Qt."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import napari

    from napari_xce.session import Session
    from napari_xce.slides import Slide

#: What a window needs. Qt ends the whole program where it finds no display, so a child tries it.
_PROBE = "from qtpy.QtWidgets import QApplication; QApplication([])"
_PROBE_SECONDS = 60


def why_no_window() -> str | None:
    """Return in one sentence why no window can be opened here, or None when it can.

    Notes
    -----
    Takes about a second: a child process tries it.
    """
    try:
        probe = subprocess.run(
            [sys.executable, "-c", _PROBE],
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "The window system does not answer."
    if probe.returncode == 0:
        return None
    said = probe.stderr
    if "QtBindingsNotFound" in said or "No module named" in said:
        return "napari has no Qt here. Install one: pip install 'napari-xce[all]'."
    if "platform plugin" in said or "display" in said:
        return "There is no display that a window could open on."
    last = said.strip().splitlines()[-1] if said.strip() else f"exit code {probe.returncode}"
    return f"napari cannot open a window here: {last}"


def open_viewer(
    slide: Slide | None = None,
    session: Session | None = None,
    look_at: tuple[float, float, float] | None = None,
) -> napari.Viewer:
    """Open a viewer with the dock; ``napari.run`` starts it.

    Parameters
    ----------
    slide : Slide, optional
        Shown; without a session, the one kept beside the slide is used, or made.
    session : Session, optional
        Worked on; the dock closes it. Its slides are shown, the first one is worked on.
    look_at : (y, x, zoom), optional
        Where to look at first, on every slide of the session that was not looked at before:
        level-0 pixels, and screen pixels for each of them.

    Returns
    -------
    napari.Viewer
    """
    import napari

    from napari_xce.viewer.kept_view import begin_with_view
    from napari_xce.viewer.slide_layer import add_slide_layer

    viewer = napari.Viewer(title="napari-xce")
    if slide is not None and session is None:
        add_slide_layer(viewer, slide)
    _, dock = viewer.window.add_plugin_dock_widget("napari-xce", "XCE Annotator")
    if session is not None:
        if look_at is not None:
            begin_with_view(session, look_at)
        dock.use_session(session)
    return viewer


def run() -> None:
    """Run the window system until the last window is closed."""
    import napari

    napari.run()
