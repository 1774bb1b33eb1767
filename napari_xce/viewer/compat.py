"""Workarounds for napari, one function each: symptom, cause, issue, when it can go."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from vispy.visuals.shaders import Function

if TYPE_CHECKING:
    from napari.layers import Points

CLICK_SLOP_PX = 10.0  # Qt's own default of how far a press may wander before it is a drag


def forgive_small_drags(layer: Points) -> None:
    """Make a click with a small drag a click, where the button went down.

    Symptom: quick clicks are lost (HistomicsUI#125 calls it "the real bottleneck"), or land beside
    the cell. Cause: napari's ``add`` gives up after a drag of 5 canvas pixels, puts the point where
    the button comes *up*, and the view pans under the hand meanwhile (moves are throttled, so that
    vispy sees some before napari can stop them). Measured on 0.9.2: a 7 px drag adds nothing and
    pans by 6 px; a 3 px drag pans by 2 px. Cure: swap the layer's ``add`` callback for
    :func:`_add_where_pressed` whenever the layer enters its add mode. Can go when napari's ``add``
    does the same.
    """

    def swap(event: Any = None) -> None:
        from napari.layers.points import _points_mouse_bindings

        callbacks = layer.mouse_drag_callbacks
        if _add_where_pressed in callbacks:
            callbacks.remove(_add_where_pressed)
        if str(layer.mode) != "add":
            return
        if _points_mouse_bindings.add in callbacks:
            callbacks.remove(_points_mouse_bindings.add)
        callbacks.append(_add_where_pressed)

    layer.events.mode.connect(swap)
    swap()


def _add_where_pressed(layer: Points, event: Any) -> Generator[None, None, None]:
    """Add a point where the left button went down, unless the mouse was dragged; a drag pans."""
    if event.button != 1 or event.modifiers:
        return
    start, place = np.array(event.pos, dtype=float), event.position
    yield  # not earlier: vispy must see the press with panning on, or it never pans on this drag
    layer.mouse_pan = False  # the view holds still until this is a drag
    dragged = False
    while event.type == "mouse_move":
        if not dragged and np.linalg.norm(event.pos - start) > CLICK_SLOP_PX:
            dragged = layer.mouse_pan = True
        yield
    layer.mouse_pan = True
    if not dragged and np.linalg.norm(event.pos - start) <= CLICK_SLOP_PX:
        layer.add(np.atleast_2d(layer.world_to_data(place)))


@contextmanager
def one_update(layer: Points) -> Iterator[None]:
    """Change several attributes of a points layer, and have it sliced and drawn anew once.

    Symptom: the window stalls whenever many points are replaced. Cause: places, sizes and each kind
    of colour are set one by one, and after each napari hands all points to OpenGL anew, with a
    string for every point's symbol. Measured on 0.9.2: five times, of which this leaves one. The
    events in between are lost, so that only who listens to the refresh notices. Can go when napari
    takes several attributes at once.
    """
    with (
        layer.events.blocker_all(),
        layer._border.events.blocker_all(),
        layer._face.events.blocker_all(),
        layer._block_refresh(),
    ):
        yield
    layer.refresh()


def draw_only_discs(viewer: Any, layer: Points) -> None:
    """Draw the points of a layer as discs, without working out every other shape.

    Symptom: without a graphics card a frame takes longer the more cells there are in view. Cause:
    vispy's shader tells the shapes of markers apart by an ``if`` for each, and a processor that
    draws goes through all of them at every pixel of every marker. Measured on vispy 0.17 with some
    1,500 cells in view: 30 ms, of which this leaves 13 to 19. Whatever symbol the layer has, a disc
    is drawn. Can go when vispy hands to OpenGL only the shapes in use.
    """
    canvas = _canvas(viewer)
    if canvas is None:
        return
    markers = canvas.layer_to_visual[layer].node.points_markers
    size = getattr(markers, "_v_size_var", None)  # where it is kept differently, all stays as it is
    if size is not None:
        disc = Function(_DISC)
        disc["v_size"] = size
        markers.shared_program.frag["marker"] = disc


#: What vispy's own disc is, by itself.
_DISC = """
float disc(vec2 pointcoord, float size, int symbol) {
    return length((pointcoord - vec2(0.5, 0.5)) * size) - $v_size / 2.;
}
"""


def find_view_without_drawing(viewer: Any) -> None:
    """Let a press of the mouse, or a notch of its wheel, find the view under it by arithmetic.

    Symptom: without a graphics card each of them takes 10 to 15 ms longer than it need. Cause: to
    find the node under the mouse vispy draws the scene into a picture of its own, where each node
    is a number; napari has one node to be found, its view, but where it shows a grid of them. Can
    go when vispy finds nodes otherwise, or napari does not ask.
    """
    canvas = _canvas(viewer)
    if canvas is not None:
        scene = canvas._scene_canvas

        def visual_at(pos: Any) -> Any:
            view = canvas.view
            return view if view.interactive else type(scene).visual_at(scene, pos)

        scene.visual_at = visual_at


def find_view_by_drawing(viewer: Any) -> None:
    """Take back what :func:`find_view_without_drawing` did."""
    canvas = _canvas(viewer)
    if canvas is not None:
        vars(canvas._scene_canvas).pop("visual_at", None)


def accept_mixed_units(viewer: Any) -> None:
    """Let slides with and without a pixel size lie side by side without a word.

    Symptom: "Inconsistent units across layers; units will not be used for rendering", again with
    every layer of ours that comes or goes. Cause: the one slide is in micrometres, the other one in
    pixels, as is right: micrometres would be made up, on napari's scale bar, too. Each is drawn as
    it should be. Can go when napari warns once, or lets a layer say that its units are unknown.
    """
    canvas = _canvas(viewer)
    if canvas is None:
        return
    module = sys.modules[type(canvas).__module__]

    def update() -> None:
        warn, module.show_warning = module.show_warning, lambda *_: None
        try:
            type(canvas)._update_world_units(canvas)
        finally:
            module.show_warning = warn

    canvas._update_world_units = update


def warn_of_mixed_units(viewer: Any) -> None:
    """Take back what :func:`accept_mixed_units` did."""
    canvas = _canvas(viewer)
    if canvas is not None:
        vars(canvas).pop("_update_world_units", None)


def forget_old_presses(viewer: Any) -> None:
    """Let each press of the mouse forget what came before it, once it is released.

    Symptom: memory grows with every click, by what vispy and Qt keep of it. Cause: an event of the
    mouse holds the one before and the press it belongs to. vispy breaks the first chain when the
    mouse moves with no button down, but not the second, so that every release leads back, press by
    press, to the first click. Measured on vispy 0.17: three events stay of every click. Can go when
    vispy drops ``press_event``, too.
    """
    canvas = _canvas(viewer)
    if canvas is not None:
        canvas._scene_canvas.events.mouse_release.connect(_forget_before_press, position="last")


def remember_old_presses(viewer: Any) -> None:
    """Take back what :func:`forget_old_presses` did."""
    canvas = _canvas(viewer)
    if canvas is not None:
        canvas._scene_canvas.events.mouse_release.disconnect(_forget_before_press)


def _forget_before_press(event: Any) -> None:
    """Cut the chain of events at the press that was just released."""
    if event.press_event is not None:
        event.press_event._forget_last_event()


def let_notes_go(viewer: Any) -> None:
    """Give each note over a slide that would stay for ever its time anew; call it now and then.

    Symptom: a note stays on the slide until it is closed by hand, and half a megabyte with it.
    Cause: one that comes up stops the clocks of those before it, and one that closes looks for
    itself among the others when it is no longer there, so that no clock is ever started again; one
    that comes up while the window is not the active one has no clock. Measured on napari 0.9.2: of
    three notes in a row two stay. As napari means it, one that was opened out stays, one under the
    mouse as well, and all do while another window is active. Can go when napari starts the clock
    again.
    """
    canvas = canvas_widget(viewer)
    if canvas is None or not canvas.isActiveWindow():
        return
    notes = sys.modules["napari._qt.dialogs.qt_notification"]  # loaded with the window
    for note in canvas.findChildren(notes.NapariQtNotification):
        kept = note.property("expanded") or note.underMouse() or note.timer.isActive()
        fades = note.opacity_anim.state() == note.opacity_anim.State.Running
        if kept or fades or not note.isVisible():
            continue
        with suppress(TypeError):  # it has none where the window was not active
            note.timer.timeout.disconnect()
        note.timer.setSingleShot(True)
        note.timer.timeout.connect(note.close_with_fade)
        note.timer.start(note.DISMISS_AFTER)


def canvas_widget(viewer: Any) -> Any:
    """Return the Qt widget that the slide is drawn in; None for a viewer without a window.

    Symptom: after typing in a dock, N and the digits do nothing until the slide is clicked, as keys
    go to the widget with the focus. Cause: napari has no public way to the canvas widget
    (napari/napari#9433 makes more of it private). Can go when there is one.
    """
    canvas = _canvas(viewer)
    return None if canvas is None else canvas.native


def _canvas(viewer: Any) -> Any:
    """Return napari's canvas; None for a viewer without a window."""
    qt_viewer = getattr(getattr(viewer, "window", None), "_qt_viewer", None)
    return None if qt_viewer is None else qt_viewer.canvas


def focus_canvas(viewer: Any) -> None:
    """Give the keyboard to the canvas."""
    widget = canvas_widget(viewer)
    if widget is not None:
        widget.setFocus()
