from __future__ import annotations

import json
import os

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_xce.errors import ModelError
from napari_xce.learning.heads import REFERENCE_DIAMETER
from napari_xce.learning.model import CellModel

from .conftest import disc_image

POINTS = np.array([[20.0, 20.0], [44.0, 40.0]])


@pytest.fixture
def pixels():
    image = disc_image(64, POINTS, REFERENCE_DIAMETER)
    return torch.from_numpy(image).permute(2, 0, 1)[None] / 255.0


@torch.no_grad()
def scores(model, pixels, corrected=True):
    """Return the probabilities that the model's head gives, background first."""
    if model.head == "unet":
        return model.pixel_logits(model(pixels, with_mask=True), corrected).softmax(1)
    return model.grid_logits(model(pixels), corrected).softmax(1)


@pytest.mark.parametrize(("head", "side"), [("yollo", 16), ("unet", 32)])
def test_probabilities_of_background_and_classes_sum_to_one(model, pixels, head, side):
    model.head = head
    p = scores(model, pixels)
    assert p.shape == (1, 4, side, side)
    torch.testing.assert_close(p.sum(1), torch.ones(1, side, side))


@pytest.mark.parametrize("head", ["yollo", "unet"])
def test_untrained_head_changes_nothing(model, pixels, head):
    model.head = head
    torch.testing.assert_close(scores(model, pixels), scores(model, pixels, corrected=False))


@pytest.mark.parametrize("head", ["yollo", "unet"])
def test_class_without_a_click_is_nowhere(model, pixels, head):
    model.head = head
    assert scores(model, pixels)[:, 3].max() < 1e-3


def test_proposed_class_is_at_most_as_likely_as_a_nucleus(model, pixels):
    bright = torch.ones_like(pixels)
    assert scores(model, bright)[:, 1].max() < 0.2
    assert scores(model, pixels)[:, 1].max() > 0.2


@pytest.mark.parametrize("head", ["yollo", "unet"])
def test_saved_model_comes_back_with_the_same_scores(model, pixels, head, tmp_path):
    model.head = head
    with torch.no_grad():  # as if it had been trained
        for p in [*model.yollo.parameters(), *model.unet.parameters()]:
            p.normal_(0, 0.1)
    expected = scores(model, pixels)
    model.save(tmp_path / "model.safetensors", {"note": "three kinds"})
    back, card = CellModel.load(tmp_path / "model.safetensors")
    assert card["note"] == "three kinds"
    assert back.classes == ["lymphocyte", "red cell", "new"]
    assert back.head == head
    torch.testing.assert_close(scores(back, pixels), expected, rtol=0, atol=0)


def test_card_lies_beside_the_weights(model, tmp_path):
    model.save(tmp_path / "model.safetensors", {"slides": ["a.svs"]})
    card = json.loads((tmp_path / "model.json").read_text())
    assert card["slides"] == ["a.svs"]
    assert card["classes"] == model.classes
    assert card["head"] == "yollo"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.json", "model.safetensors"]


def test_saving_where_there_is_no_folder_is_told(model, tmp_path):
    with pytest.raises(ModelError, match=r"cannot be written.*choose another"):
        model.save(tmp_path / "missing" / "model.safetensors", {})


def test_failed_save_keeps_the_model_that_was_there(model, tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    model.save(path, {"note": "good"})

    def no_room(file):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(os, "fsync", no_room)
        with pytest.raises(ModelError, match="No space left"):
            model.save(path, {"note": "bad"})
    assert CellModel.load(path)[1]["note"] == "good"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.json", "model.safetensors"]


def damaged_files(folder, model):
    """Return what may lie where a model should: nothing, pieces, other people's files."""
    model.save(folder / "good.safetensors", {})
    whole = (folder / "good.safetensors").read_bytes()
    (folder / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.safetensors").write_bytes(b"")
    (folder / "text.safetensors").write_text("not a model")
    save_file({"weight": torch.zeros(2)}, folder / "foreign.safetensors")
    save_file({"weight": torch.zeros(2)}, folder / "list.safetensors", {"card": "[]"})
    save_file({"weight": torch.zeros(2)}, folder / "words.safetensors", {"card": "no json"})
    card = json.dumps({"format": "napari-xce model 1", "classes": ["a"], "head": "yollo"})
    save_file({"weight": torch.zeros(2)}, folder / "other.safetensors", {"card": card})
    (folder / "folder.safetensors").mkdir()


@pytest.mark.parametrize(
    "name", ["missing", "cut", "empty", "text", "foreign", "list", "words", "other", "folder"]
)
def test_file_that_is_no_model_is_refused_in_words(model, tmp_path, name):
    damaged_files(tmp_path, model)
    with pytest.raises(ModelError, match=rf"{name}\.safetensors .*(cannot be read|is not a model)"):
        CellModel.load(tmp_path / f"{name}.safetensors")


def test_unknown_head_is_refused():
    with pytest.raises(ModelError, match="yollo"):
        CellModel(["cell"], "mask-rcnn")  # type: ignore[arg-type]


def test_model_without_classes_says_background_everywhere(pixels):
    assert (scores(CellModel.from_shipped([]), pixels) == 1).all()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_saved_model_is_readable_as_any_other_file(model, tmp_path):
    model.save(tmp_path / "model.safetensors", {})
    (tmp_path / "other").touch()
    assert (tmp_path / "model.safetensors").stat().st_mode == (tmp_path / "other").stat().st_mode
