"""Commands of napari's palette. napari passes the viewer in by its annotation, so there is no lazy
annotation here.
"""

import napari
from napari.utils.notifications import show_info

from napari_xce.widgets.dock import AnnotatorDock, dock_of


def open_session(viewer: napari.Viewer) -> None:
    """Ask for a session and go on with it."""
    _dock(viewer).ask_session()


def toggle_learning(viewer: napari.Viewer) -> None:
    """Learn, or pause."""
    _dock(viewer).toggle_learning()


def suggest_next(viewer: napari.Viewer) -> None:
    """Fly to where a click helps most."""
    _dock(viewer).suggest_next()


def step_through(viewer: napari.Viewer) -> None:
    """Go to the next doubtful cell in view."""
    _dock(viewer).step()


def export_cells(viewer: napari.Viewer) -> None:
    """Ask where to, and export the cells."""
    dock = _dock(viewer)
    if dock.annotator.binding is None:
        show_info("Choose a slide in the XCE Annotator first.")
    else:
        dock.ask_export()


def _dock(viewer: napari.Viewer) -> AnnotatorDock:
    """Return the viewer's dock, opened if need be."""
    dock = dock_of(viewer)
    if dock is None:
        _, dock = viewer.window.add_plugin_dock_widget("napari-xce", "XCE Annotator")
    return dock
