from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_xce.errors import ExchangeError
from napari_xce.exchange.frames import from_corner_xy, refuse_not_finite, to_corner_xy

coordinate = st.floats(-1e6, 1e6)


def test_centre_of_first_pixel_lies_half_a_pixel_in() -> None:
    assert to_corner_xy([[0, 0]]).tolist() == [[0.5, 0.5]]
    assert from_corner_xy([[0.5, 0.5]]).tolist() == [[0.0, 0.0]]


def test_y_and_x_change_places() -> None:
    assert to_corner_xy([[10, 20]]).tolist() == [[20.5, 10.5]]


def test_origin_is_subtracted_on_the_way_out() -> None:
    assert to_corner_xy([[110, 220]], origin=(100, 200)).tolist() == [[20.5, 10.5]]
    assert from_corner_xy([[20.5, 10.5]], origin=(100, 200)).tolist() == [[110.0, 220.0]]


@given(coordinate, coordinate, coordinate, coordinate)
def test_there_and_back_is_the_same_place(y: float, x: float, y0: float, x0: float) -> None:
    back = from_corner_xy(to_corner_xy([[y, x]], (y0, x0)), (y0, x0))
    assert np.allclose(back, [[y, x]], rtol=0, atol=1e-6)


def test_refusal_names_the_first_bad_object() -> None:
    with pytest.raises(ExchangeError, match="Detection 2 has a coordinate"):
        refuse_not_finite([[0, 0], [0, np.nan], [np.inf, 0]], "Detection")
