from __future__ import annotations

import pytest

from napari_xce.errors import XceError
from napari_xce.measures.indices import Grades, h_score, positive_fraction


def test_labelling_index_is_the_share_of_positive_cells() -> None:
    share = positive_fraction(30, 70)
    assert share is not None
    assert (share.value, share.positive, share.total) == (0.3, 30, 100)


def test_interval_is_that_of_wilson() -> None:
    # z = 1.96: (0.3 + 1.92073/100 +- 1.95996 sqrt(0.0021 + 0.96036/10000)) / 1.0384146
    share = positive_fraction(30, 70)
    assert share is not None
    assert (share.low, share.high) == (
        pytest.approx(0.21895, abs=1e-4),
        pytest.approx(0.39585, abs=1e-4),
    )


def test_interval_of_none_positive_begins_at_zero() -> None:
    share = positive_fraction(0, 10)
    assert share is not None
    assert share.low == 0
    assert share.high == pytest.approx(3.8415 / 13.8415, abs=1e-4)  # z^2 / (n + z^2)


def test_no_cells_have_no_index() -> None:
    assert positive_fraction(0, 0) is None
    assert h_score(0, 0, 0, 0) is None


@pytest.mark.parametrize(
    ("cells", "score"),
    [((100, 0, 0, 0), 0), ((0, 0, 0, 7), 300), ((40, 30, 20, 10), 100), ((50, 0, 50, 0), 100)],
)
def test_h_score_weighs_the_grades_one_to_three(
    cells: tuple[int, int, int, int], score: float
) -> None:
    assert h_score(*cells) == score


def test_class_cannot_stand_for_two_grades() -> None:
    with pytest.raises(XceError, match="one grade only"):
        Grades("a", "b", "a")


def test_grades_pick_the_counts_of_their_classes() -> None:
    grades = Grades(negative="blue", strong="brown")
    assert grades.numbers({"brown": 3, "blue": 5, "other": 9}) == (5, 0, 0, 3)
    assert grades.positive == ("brown",)
