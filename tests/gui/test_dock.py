"""The dock: what it asks, says, and tells the engine."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.utils._proxies import PublicOnlyProxy
from napari.utils.notifications import notification_manager

from napari_xce.engine import Failed, Progress, Segmented, Status
from napari_xce.errors import SessionError
from napari_xce.session import Session
from napari_xce.slides.slide import Slide
from napari_xce.viewer.slide_layer import add_slide_layer
from napari_xce.widgets import commands
from napari_xce.widgets.dock import AnnotatorDock, dock_of

pytestmark = pytest.mark.usefixtures("fake_engine")


def _hint(window: Any) -> str:
    window.dock.tick()
    return window.dock.hint.text()


def test_hint_says_at_each_step_what_to_do_next(window: Any, noise: Slide) -> None:
    assert "open a slide" in _hint(window)
    assert not window.dock.learn.toggle.isEnabled()
    window.show(noise)
    assert "click a few cells" in _hint(window)
    window.binding.clicks.layer.add([[100, 100], [200, 200], [300, 300]])
    assert "Press Learn" in _hint(window)
    window.dock.learn.toggle.click()
    assert "missed cells" in _hint(window)
    assert window.engine.told[-1] == ("resume",)
    window.dock.learn.toggle.click()
    assert window.engine.told[-1] == ("pause",)


def test_first_slide_brings_a_session_that_keeps_clicks(
    window: Any, noise: Slide, empty_home: Path
) -> None:
    window.show(noise)
    assert window.session.path == empty_home / "napari-xce" / "noise.xce"
    assert "noise.xce" in window.dock.slide.session.full_text()
    window.binding.clicks.layer.add([100, 100])
    path = window.session.path
    window.dock.annotator.shutdown()
    with Session.open(path) as again:
        assert again.store.annotations().points.tolist() == [[100, 100]]


def test_slide_file_has_its_session_beside_it(window: Any, svs: Path) -> None:
    window.dock._open_file(str(svs))
    assert window.session.path == svs.with_suffix(".xce")
    assert "0.499" in window.dock.slide.size.full_text()


def test_only_image_is_taken_at_once(make_napari_viewer: Any, qtbot: Any) -> None:
    viewer = make_napari_viewer()
    viewer.add_image(np.zeros((200, 300, 3), np.uint8), scale=(0.5, 0.5), units="um")
    dock = AnnotatorDock(PublicOnlyProxy(viewer))  # what napari hands to plugins
    viewer.window.add_dock_widget(dock)
    assert dock.annotator.binding is not None
    assert "xce: clicks" in viewer.layers
    assert dock_of(viewer) is dock


def test_image_dropped_into_an_empty_viewer_is_taken(window: Any, noise: Slide) -> None:
    add_slide_layer(window.viewer, noise)
    window.settle()
    assert window.dock.annotator.binding is not None
    add_slide_layer(window.viewer, Slide.from_array(np.ones((99, 99, 3), np.uint8), mpp=0.5))
    window.settle()
    assert window.session.slides[window.binding.slide_id] is noise  # a second one is not


def test_session_made_by_a_script_is_gone_on_with(
    window: Any, noise: Slide, tmp_path: Path
) -> None:
    session = Session.create(tmp_path / "case.xce", classes=["tumour"])
    session.annotate("tumour", [[10, 20]], slide=session.add_slide(noise))
    window.dock.use_session(session)
    assert window.layer("xce: clicks").data.tolist() == [[10, 20]]
    session.annotate("tumour", [[30, 40]])  # from the console, while the dock is open
    session.review([[5, 5], [50, 50]])
    window.settle()
    assert len(window.layer("xce: clicks").data) == 2
    assert len(window.layer("xce: reviewed").data) == 1
    assert window.viewer.layers.selection.active is window.binding.clicks.layer


def test_slide_without_file_is_found_again_among_the_layers(
    window: Any, noise: Slide, tmp_path: Path
) -> None:
    with Session.create(tmp_path / "case.xce") as session:
        pixels = Slide.from_array(noise.read_level(0, 0, 0, 600, 800), mpp=0.5)
        session.annotate("cell", [[10, 20]], slide=session.add_slide(pixels))
    window.show(noise)
    window.dock.open_session(tmp_path / "case.xce")
    assert window.layer("xce: clicks").data.tolist() == [[10, 20]]
    assert sum(layer.name == "noise" for layer in window.viewer.layers) == 1


def test_accuracy_without_reviewed_region_says_what_to_do(window: Any, noise: Slide) -> None:
    window.show(noise)
    window.dock.quality.accuracy.click()
    window.qtbot.waitUntil(lambda: "review one" in window.dock.quality.words.text())


def test_unknown_pixel_size_is_asked_for_once(window: Any) -> None:
    slide = Slide.from_array(np.zeros((400, 500, 3), np.uint8), name="unknown")
    layer = window.show(slide)
    assert window.dock.annotator.binding is None
    assert window.dock.slide.question.isVisible()
    assert "how wide" in _hint(window)
    window.dock.slide.diameter.value = 32
    assert window.layer("xce: cell size").size[0] == 32
    window.viewer.scene.camera.zoom = 20
    window.viewer.scene.camera.center = (0, 100, 120)  # the ring goes along
    assert tuple(window.layer("xce: cell size").data[0]) == pytest.approx((100, 120), abs=1)
    window.dock.slide.accept.click()
    assert window.session.factor() == (2, 2)
    assert "xce: cell size" not in window.viewer.layers
    assert not window.dock.slide.question.isVisible()
    window.dock._use_layer(layer)  # again: no question
    assert window.dock.annotator.binding is not None


def test_classes_are_added_renamed_recoloured_and_deleted(window: Any, noise: Slide) -> None:
    window.show(noise)
    window.dock.classes.add.click()
    assert window.binding.current == "class 2"
    window.dock.classes.renamed.emit("class 2", "tumour")
    window.dock.classes.recolored.emit("tumour", "#112233")
    window.dock.classes.rekeyed.emit("tumour", "7")
    found = window.session.classes[-1]
    assert (found.name, found.color, found.key) == ("tumour", "#112233", "7")
    assert window.binding.current == "tumour"
    window.binding.clicks.layer.add([100, 100])
    window.dock.tick()
    table = window.dock.classes.table
    assert [table.item(1, column).text() for column in (1, 2, 3)] == ["tumour", "7", "1"]
    window.dock.classes.delete.click()
    window.dock.tick()
    assert [c.name for c in window.session.classes] == ["background", "cell"]
    assert len(window.layer("xce: clicks").data) == 0
    window.binding.undo()
    window.dock.tick()
    assert table.item(1, 1).text() == "tumour"
    assert len(window.layer("xce: clicks").data) == 1


def test_refused_class_name_is_said_in_words_and_not_kept(window: Any, noise: Slide) -> None:
    window.show(noise)
    window.dock.classes.add.click()
    window.dock.classes.table.item(1, 1).setText("cell")  # taken
    assert "cell" in notification_manager.records[-1].message
    assert window.dock.classes.table.item(1, 1).text() == "class 2"


def test_status_is_shown(window: Any, noise: Slide) -> None:
    window.show(noise)
    window.engine.say(
        Status("waiting for clicks", 0, 0, 0.0, math.nan, ""),
        Status("learning", 3, 40, 5.25, 0.5, "better than before"),
        Status("learning", 3, 41, 5.25, 0.25, ""),
    )
    window.dock.tick()
    card = window.dock.status
    assert card.state.text() == "Learning"
    assert "5.2 steps/s · loss 0.25" in card.speed.text()
    assert "revision 3" in card.speed.toolTip()
    assert len(card.plot) == 2
    window.engine.say(Status("learning", 3, 41, 0.0, 0.25, ""))  # painting: no step was taken
    window.dock.tick()
    assert len(card.plot) == 2


def test_nothing_more_to_gain_is_said_with_what_to_do(window: Any, noise: Slide) -> None:
    window.show(noise)
    window.binding.clicks.layer.add([[100, 100], [200, 200], [300, 300]])
    assert "Press Learn" in _hint(window)
    window.dock.learn.toggle.click()
    window.engine.say(
        Status("learnt", 12, 340, 0.0, 0.145, "nothing more to gain from these clicks")
    )
    assert "N for where to look" in _hint(window)
    assert window.dock.status.state.text() == "Learnt"
    assert window.dock.status.speed.text().startswith("Nothing more to gain from these clicks")
    window.engine.say(Status("learning", 13, 341, 1.0, 0.2, ""))
    assert "missed cells" in _hint(window)


def test_status_line_shows_only_whole_parts(window: Any, noise: Slide) -> None:
    window.show(noise)
    window.dock.status.show_device("cuda")
    window.engine.say(
        Status("learning", 123, 45678, 123.4, 0.0123, "held-out clicks rank 0.981 against 0.978")
    )
    window.dock.tick()
    speed = window.dock.status.speed
    assert speed.text().startswith("GPU · 123.4 steps/s")
    assert "…" not in speed.text()
    assert speed.fontMetrics().horizontalAdvance(speed.text()) <= speed.width()
    assert "held-out" in speed.toolTip()


def test_counts_and_densities_are_of_what_was_predicted(window: Any, noise: Slide) -> None:
    window.show(noise)
    window.engine.find(window.binding.slide_id, [[100, 100], [200, 200], [300, 300]])
    window.viewer.scene.camera.zoom = 0.5  # all of the slide
    window.qtbot.waitUntil(
        lambda: window.session.known_tissue(window.binding.slide_id) is not None, timeout=60_000
    )
    window.settle()
    window.count()
    row = [window.dock.counts.table.item(0, column).text() for column in range(5)]
    # the first tile: 448 x 448 px of 0.5 um = 0.0502 mm2, all of it in view
    assert row == ["cell", "3", "60", "3", "60"]
    # 448 x 448 px of 600 x 800, all of them tissue
    assert "42 % of the tissue" in window.dock.counts.covered.text()


def test_freshness_of_the_view_is_said(window: Any, noise: Slide) -> None:
    window.show(noise)
    window.count()
    assert window.dock.status.fresh.full_text() == "View: not predicted yet"
    window.engine.find(window.binding.slide_id, [[100, 100]])
    window.settle()
    window.count()
    assert window.dock.status.fresh.full_text() == "View: 25 % predicted"


def test_whole_slide_run_shows_progress_and_can_be_cancelled(window: Any, noise: Slide) -> None:
    window.show(noise)
    window.dock.counts.whole.click()
    slide_id = window.binding.slide_id
    assert window.engine.told[-1] == ("predict_slide", slide_id)
    window.engine.say(Progress(slide_id, 1, 4, 30.0))
    window.dock.tick()
    assert window.dock.counts.progress.value() == 1
    assert "30 s left" in window.dock.counts.progress.text()
    window.dock.counts.cancel.click()
    assert window.engine.told[-1] == ("cancel_predict",)
    window.engine.say(Progress(slide_id, 0, 0, 0.0))
    window.dock.tick()
    assert not window.dock.counts.progress.isVisible()


def test_whole_slide_run_can_be_paused_and_go_on(window: Any, noise: Slide) -> None:
    window.show(noise)
    slide_id = window.binding.slide_id
    window.engine.say(Progress(slide_id, 1, 4, 30.0))
    window.dock.tick()
    window.dock.counts.pause.click()
    assert window.engine.told[-1] == ("pause_predict", True)
    window.engine.say(Progress(slide_id, 1, 4, 30.0, paused=True))
    window.dock.tick()
    assert "paused" in window.dock.counts.progress.text()
    assert window.dock.counts.pause.text() == "Go on"
    window.dock.counts.pause.click()
    assert window.engine.told[-1] == ("pause_predict", False)


def test_failure_is_shown_once_in_words(window: Any, noise: Slide) -> None:
    window.show(noise)
    window.engine.say(Failed("The disk is full."))
    window.dock.tick()
    window.dock.tick()
    assert [r.message for r in notification_manager.records].count("The disk is full.") == 1


def test_failure_that_comes_again_and_again_is_shown_once(window: Any, noise: Slide) -> None:
    window.show(noise)
    for tile in range(50):
        window.engine.say(Failed(f"Tile {tile} of the slide cannot be read."))
        window.dock.tick()
    said = [r.message for r in notification_manager.records if "cannot be read" in r.message]
    assert said == ["Tile 0 of the slide cannot be read."]


def test_failure_of_every_tick_is_shown_once(
    window: Any, noise: Slide, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise SessionError("The folder of the session is gone.")

    window.show(noise)
    monkeypatch.setattr(window.dock.annotator, "tick", fail)
    for _ in range(50):
        window.dock.tick()
    told = [r.message for r in notification_manager.records]
    assert told.count("The folder of the session is gone.") == 1


def test_failure_is_shown_again_when_asked_for_again(window: Any, noise: Slide) -> None:
    window.show(noise)
    for _ in range(2):
        window.dock.counts.whole.click()
        window.engine.say(Failed("The slide was moved."))
        window.dock.tick()
    told = [r.message for r in notification_manager.records]
    assert told.count("The slide was moved.") == 2


def test_threshold_is_set_by_hand_and_reset(window: Any, noise: Slide) -> None:
    window.show(noise)
    default = window.session.thresholds["cell"]
    window.engine.find(window.binding.slide_id, [[100, 100]])  # score 0.9
    window.qtbot.waitUntil(lambda: len(window.layer("xce: cells").data) == 1)
    window.dock.show_box.threshold.setValue(95)
    window.dock.tick()
    assert window.session.thresholds == {"cell": 0.95}
    assert len(window.layer("xce: cells").data) == 0
    window.dock.show_box.reset.click()
    window.dock.tick()
    assert window.session.own_thresholds == {}
    assert len(window.layer("xce: cells").data) == 1
    assert window.dock.show_box.threshold.value() == round(100 * default)


def test_check_boxes_and_layer_list_agree(window: Any, noise: Slide) -> None:
    window.show(noise)
    window.engine.find(window.binding.slide_id, [[100, 100]])
    window.settle()
    boxes = window.dock.show_box.boxes
    boxes["heat"].click()
    assert not window.layer("xce: heat").visible
    window.layer("xce: cells").visible = False  # the eye in napari's list
    window.dock.tick()
    assert not boxes["cells"].isChecked()
    window.viewer.layers.remove("xce: heat")
    window.dock.tick()
    boxes["heat"].click()
    assert window.layer("xce: heat").visible
    window.viewer.layers.remove("xce: cells")
    window.dock.tick()
    assert not boxes["cells"].isChecked()
    boxes["cells"].click()
    assert "xce: cells" in window.viewer.layers


def test_background_has_no_threshold(window: Any, noise: Slide) -> None:
    window.show(noise)
    assert window.dock.show_box.threshold.isEnabled()
    window.dock.classes.chosen.emit("background")
    assert not window.dock.show_box.threshold.isEnabled()
    window.dock.classes.chosen.emit("cell")
    assert window.dock.show_box.threshold.isEnabled()


def test_masks_are_hidden_shown_recoloured_and_go_with_their_head(
    window: Any, noise: Slide
) -> None:
    window.show(noise)
    slide_id, box = window.binding.slide_id, window.dock.show_box.boxes["masks"]
    window.session.set_head("unet")
    window.dock.learn.head_chosen.emit("unet")
    labels = np.zeros((9, 9), np.int32)
    labels[2:7, 2:7] = 1
    window.engine.say(Segmented(slide_id, labels, ("cell",), (2.0, 2.0), (0.5, 0.5), 1))
    window.dock.tick()
    assert window.viewer.layers.selection.active is window.binding.clicks.layer
    window.dock.classes.recolored.emit("cell", "#112233")
    window.dock.tick()
    layer = window.layer("xce: masks")
    np.testing.assert_allclose(
        layer.colormap.map(layer.data)[4, 4, :3], np.array([0x11, 0x22, 0x33]) / 255, atol=0.01
    )
    window.viewer.layers.remove("xce: masks")
    window.dock.tick()
    assert not box.isChecked()
    window.engine.say(Segmented(slide_id, labels[:5], ("cell",), (2.0, 2.0), (0.5, 0.5), 2))
    window.dock.tick()
    assert "xce: masks" not in window.viewer.layers
    box.click()
    assert window.layer("xce: masks").data.shape == (5, 9)  # the latest
    window.session.set_head("yollo")
    window.dock.tick()
    assert "xce: masks" not in window.viewer.layers


def test_removed_clicks_layer_loses_no_click(window: Any, noise: Slide) -> None:
    window.show(noise)
    window.binding.clicks.layer.add([100, 100])
    window.viewer.layers.remove("xce: clicks")
    window.dock.tick()
    assert len(window.session.annotations()) == 1
    window.dock.classes.chosen.emit("cell")
    assert window.layer("xce: clicks").data.tolist() == [[100, 100]]


def test_removed_slide_takes_our_layers_with_it(window: Any, noise: Slide) -> None:
    window.viewer.layers.remove(window.show(noise))
    window.dock.tick()
    assert len(window.viewer.layers) == 0
    assert "open a slide" in _hint(window)
    window.show(Slide.from_array(np.ones((300, 300, 3), np.uint8), mpp=0.5, name="next"))
    assert "xce: clicks" in window.viewer.layers


def test_clearing_all_layers_is_survived(window: Any, noise: Slide) -> None:
    window.show(noise)
    window.viewer.layers.clear()
    window.dock.tick()
    assert window.dock.annotator.binding is None


def test_switching_slides_keeps_each_ones_clicks_and_view(window: Any, noise: Slide) -> None:
    first = window.show(noise)
    window.binding.clicks.layer.add([100, 100])
    window.viewer.scene.camera.zoom = 7.0
    other = Slide.from_array(np.ones((300, 300, 3), np.uint8), mpp=0.25, name="other")
    window.show(other)
    assert len(window.session.slides) == 2
    assert len(window.layer("xce: clicks").data) == 0
    window.viewer.scene.camera.zoom = 1.0
    window.dock._use_layer(first)
    assert window.layer("xce: clicks").data.tolist() == [[100, 100]]
    assert window.viewer.scene.camera.zoom == pytest.approx(7.0)
    assert sum(layer.name == "xce: clicks" for layer in window.viewer.layers) == 1


def test_opening_a_session_brings_slide_clicks_and_classes_back(
    window: Any, svs: Path, tmp_path: Path
) -> None:
    from napari_xce.slides import open_slide

    with Session.create(tmp_path / "case.xce", classes=["tumour"], head="unet") as session:
        slide_id = session.add_slide(open_slide(svs))
        session.annotate("tumour", [[300, 400]], slide=slide_id)
    window.dock.open_session(tmp_path / "case.xce")
    assert window.layer("xce: clicks").data.tolist() == [[300, 400]]
    assert window.binding.current == "tumour"
    assert window.dock.learn.head.currentData() == "unet"
    assert window.dock.show_box.boxes["masks"].isEnabled()


def test_session_can_be_kept_in_another_folder(window: Any, noise: Slide, tmp_path: Path) -> None:
    window.show(noise)
    window.binding.clicks.layer.add([100, 100])
    window.dock._copy_session(str(tmp_path / "mine.xce"))
    assert window.session.path == tmp_path / "mine.xce"
    assert window.layer("xce: clicks").data.tolist() == [[100, 100]]


def test_broken_file_is_refused_in_words(window: Any, shared_data: Path) -> None:
    window.dock._open_file(str(shared_data / "slides" / "broken.svs"))
    assert "broken.svs" in notification_manager.records[-1].message
    assert len(window.viewer.layers) == 0


def test_commands_of_the_palette_open_and_use_the_dock(window: Any, noise: Slide) -> None:
    commands.export_cells(window.viewer)  # nothing to export: said, not raised
    window.show(noise)
    commands.toggle_learning(window.viewer)
    assert window.engine.told[-1] == ("resume",)
    commands.suggest_next(window.viewer)
    assert window.engine.told[-1][0] == "suggest"


def test_dock_opens_from_the_plugin_menu(make_napari_viewer: Any) -> None:
    viewer = make_napari_viewer()
    commands.suggest_next(viewer)  # opens the dock by the manifest's name for it
    dock = dock_of(viewer)
    assert isinstance(dock, AnnotatorDock)
    assert dock.viewer is viewer


def test_dock_taken_out_and_put_back_goes_on(window: Any, noise: Slide) -> None:
    window.show(noise)
    window.binding.clicks.layer.add([100, 100])
    window.viewer.window.remove_dock_widget(window.dock)
    assert dock_of(window.viewer) is None
    assert [layer.name for layer in window.viewer.layers] == ["noise"]
    window.viewer.window.add_dock_widget(window.dock)
    assert window.layer("xce: clicks").data.tolist() == [[100, 100]]
    assert dock_of(window.viewer) is window.dock


def test_two_viewers_have_docks_that_know_nothing_of_each_other(
    make_napari_viewer: Any, noise: Slide
) -> None:
    docks = []
    for name in "ab":
        viewer = make_napari_viewer()
        slide = Slide.from_array(np.full((99, 99, 3), ord(name), np.uint8), mpp=0.5, name=name)
        add_slide_layer(viewer, slide)
        docks.append(AnnotatorDock(viewer))
        viewer.window.add_dock_widget(docks[-1])
    first, second = (dock.annotator for dock in docks)
    first.binding.clicks.layer.add([10, 10])
    assert first.session is not second.session
    assert len(second.session.annotations()) == 0


def test_slide_without_pixel_size_beside_one_with_it_brings_no_warning(
    window: Any, noise: Slide
) -> None:
    told: list[str] = []
    notification_manager.notification_ready.connect(lambda event: told.append(event.message))
    window.show(noise)
    layer = add_slide_layer(window.viewer, Slide.from_array(np.asarray(noise.levels[0])[:300]))
    window.settle()
    window.dock._use_layer(layer)
    window.dock.slide.diameter.value = 18
    window.dock.slide.accept.click()
    window.settle()
    window.click((100, 100))  # our layers come in pixels, beside micrometres
    assert len(window.session.annotations("slide-2")) == 1
    assert window.viewer.layers.units is None
    assert told == []
