"""Where the user looked last, kept in the session for each slide. Needs no window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_xce.viewer.view import screen_px_per_pixel

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_xce.session import Session

VIEW_SETTING = "gui.view"  # by slide id: y, x of the middle and zoom, in the slide's own pixels


def keep_view(viewer: ViewerModel, slide_layer: Image, session: Session, slide_id: str) -> None:
    """Keep what is looked at on a slide."""
    y, x = slide_layer.world_to_data(viewer.scene.camera.center[-2:])[-2:]
    view = [float(y), float(x), screen_px_per_pixel(viewer, slide_layer)]
    views = session.store.get_setting(VIEW_SETTING, {})
    session.store.set_setting(VIEW_SETTING, {**views, slide_id: view})


def bring_back_view(
    viewer: ViewerModel, slide_layer: Image, session: Session, slide_id: str
) -> None:
    """Look at what was looked at last on a slide; nothing happens where that is nothing."""
    view = session.store.get_setting(VIEW_SETTING, {}).get(slide_id)
    if view is not None:
        camera = viewer.scene.camera
        camera.center = (*camera.center[:-2], *slide_layer.data_to_world(view[:2])[-2:])
        camera.zoom *= view[2] / screen_px_per_pixel(viewer, slide_layer)


def begin_with_view(session: Session, view: tuple[float, float, float]) -> None:
    """Let slides that were not looked at yet be looked at here first.

    Parameters
    ----------
    session : Session
    view : (y, x, zoom)
        Level-0 pixels, and screen pixels for each of them.
    """
    views = session.store.get_setting(VIEW_SETTING, {})
    fresh = {id: list(view) for id in session.slides if id not in views}
    session.store.set_setting(VIEW_SETTING, {**views, **fresh})
