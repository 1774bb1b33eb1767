"""A viewer without a window, a slide of noise in it, and a store that knows the slide."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image

from napari_xce.annotations import Store
from napari_xce.slides.slide import Slide
from napari_xce.viewer.slide_layer import add_slide_layer

SHAPE = (301, 403)  # odd, so that rounding shows


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def slide() -> Slide:
    noise = np.random.default_rng(0).integers(0, 255, (*SHAPE, 3), dtype=np.uint8)
    return Slide.from_array(noise, mpp=0.5)


@pytest.fixture
def slide_layer(viewer: ViewerModel, slide: Slide) -> Image:
    return add_slide_layer(viewer, slide)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.create(tmp_path / "session.sqlite") as opened:
        opened.add_class("lymphocyte", "#e69f00", "1")
        opened.add_class("tumour", "#56b4e9", "2")
        yield opened


@pytest.fixture
def slide_id(store: Store, slide: Slide) -> str:
    return store.add_slide(slide.name, None, "print", slide.shape, slide.mpp, slide.mpp_source)
