"""Sample slides: there without a network, and as layers napari can show."""

from __future__ import annotations

import socket

import numpy as np
import pytest

from napari_xce.slides import samples
from napari_xce.viewer import samples as layer_samples


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a sample asked the network")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.usefixtures("no_network")
def test_real_tissue_needs_no_network() -> None:
    with samples.immunohistochemistry() as slide:
        assert slide.shape == (512, 512)
        assert slide.mpp is None
        assert slide.name == "Immunohistochemistry (skimage)"
        assert np.asarray(slide.levels[0]).std() > 20


def test_synthetic_sample_has_truth() -> None:
    slide = samples.synthetic_he((600, 700), seed=4)
    assert slide.shape == (600, 700)
    assert slide.mpp == (0.5, 0.5)
    assert len(slide.truth()) > 50


@pytest.mark.parametrize(
    ("name", "shape", "mpp"),
    [
        ("immunohistochemistry", (512, 512, 3), None),
        ("synthetic_he", (4096, 4096, 3), (0.5, 0.5)),
        ("synthetic_he_huge", (250_000, 250_000, 3), (0.5, 0.5)),
    ],
)
def test_samples_become_multiscale_layers(
    name: str, shape: tuple[int, int, int], mpp: tuple[float, float] | None
) -> None:
    [(levels, options, kind)] = getattr(layer_samples, name)()
    assert kind == "image"
    assert levels[0].shape == shape
    assert options["rgb"]
    assert options["multiscale"]
    assert options.get("scale") == mpp
