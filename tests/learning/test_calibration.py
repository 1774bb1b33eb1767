from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_xce.learning.calibration import (
    DEFAULT,
    HIGHEST,
    LOWEST,
    SHARE_IN_ONE_PLACE,
    SHARE_OF_MEDIAN,
    SHARE_OF_OWN,
    calibrate,
    share_of_none,
    threshold_of,
)
from napari_xce.learning.click_learner import OTHER, UNANNOTATED, Standard
from napari_xce.learning.memory import Rows


def clicks_among_unknowns(apart, n_clicks=10, weight=1.0, n_classes=1, seed=0):
    """Return rows whose clicks of class k lie ``apart`` from the unknowns along axis k."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(n_classes + 1), [100, *[n_clicks] * n_classes])
    vectors = rng.normal(size=(len(labels), n_classes + 3)).astype(np.float32)
    for k in range(1, n_classes + 1):
        vectors[labels == k, k] += apart
    weights = np.where(labels > 0, weight, 1.0)
    return Rows(vectors, np.where(labels > 0, labels, UNANNOTATED), weights, weights)


def thresholds_of(rows, n_classes=1):
    return calibrate(rows, n_classes, [np.ones(rows.vectors.shape[1])]).thresholds


@pytest.mark.parametrize("apart", [0.0, 1.0, 3.0, 30.0])
def test_thresholds_lie_within_their_bounds(apart):
    thresholds = thresholds_of(clicks_among_unknowns(apart, n_classes=3), 3)
    assert len(thresholds) == 3
    assert all(LOWEST <= t <= HIGHEST for t in thresholds)


def test_threshold_of_a_single_click_is_a_share_of_its_own_score():
    rows = clicks_among_unknowns(5.0, n_clicks=1, weight=0.8)
    found = calibrate(rows, 1, [np.ones(4)])
    own = found.fit.probabilities(rows.vectors[rows.labels == 1])[0, 1] * 0.8
    assert found.thresholds == [pytest.approx(SHARE_OF_OWN * own)]


def test_class_of_one_click_beside_one_of_many_is_judged_by_itself():
    rows = clicks_among_unknowns(5.0, n_classes=2)
    only = np.flatnonzero(rows.labels == 2)[1:]
    few = rows.taken(np.setdiff1d(np.arange(len(rows.labels)), only))
    found = calibrate(few, 2, [np.ones(5)])
    own = found.fit.probabilities(few.vectors[few.labels == 2])[0, 2]
    assert found.thresholds[1] == pytest.approx(SHARE_OF_OWN * own)
    assert found.thresholds[0] > found.thresholds[1]


def test_class_without_clicks_has_the_default():
    rows = clicks_among_unknowns(5.0)
    assert calibrate(rows, 2, [np.ones(4)]).thresholds[1] == DEFAULT


def test_clicks_on_doubtful_objects_get_a_lower_threshold():
    sure = thresholds_of(clicks_among_unknowns(4.0, weight=1.0))
    doubtful = thresholds_of(clicks_among_unknowns(4.0, weight=0.4))
    assert doubtful < sure


def test_threshold_is_a_share_of_the_median_left_out_score():
    assert threshold_of(np.array([0.2, 0.9, 0.6])) == pytest.approx(0.36)
    assert threshold_of(np.array([])) == DEFAULT
    assert threshold_of(np.array([0.01])) == LOWEST
    assert threshold_of(np.array([1.0, 1.4])) == HIGHEST


def test_threshold_lies_above_most_of_what_was_rejected_but_not_above_the_median():
    scores = np.array([0.2, 0.5, 0.6])
    assert threshold_of(scores, 0.6, np.empty(0)) == pytest.approx(0.3)
    assert threshold_of(scores, 0.6, np.array([0.01, 0.02, 0.1])) == pytest.approx(0.3)
    assert threshold_of(scores, 0.6, np.array([0.1, 0.2, 0.3, 0.4, 0.5])) == pytest.approx(0.4)
    assert threshold_of(scores, 0.6, np.array([0.9, 0.9])) == pytest.approx(0.5)


def test_rejecting_what_looks_like_a_class_raises_its_threshold():
    rows = clicks_among_unknowns(1.5, n_clicks=12)
    unknown = np.flatnonzero(rows.labels == UNANNOTATED)
    lookalikes = unknown[np.argsort(rows.vectors[unknown, 1])[-12:]]
    others = unknown[np.argsort(rows.vectors[unknown, 1])[:12]]
    found = []
    for rejected in (lookalikes, others):
        labels = rows.labels.copy()
        labels[rejected] = OTHER
        found += thresholds_of(replace(rows, labels=labels))
    assert found[0] > found[1]


def test_beside_another_class_what_was_rejected_sets_no_threshold():
    rows = clicks_among_unknowns(1.5, n_clicks=12, n_classes=2)
    unknown = np.flatnonzero(rows.labels == UNANNOTATED)
    labels = rows.labels.copy()
    labels[unknown[np.argsort(rows.vectors[unknown, 1])[-12:]]] = OTHER
    found = calibrate(replace(rows, labels=labels), 2, [np.ones(5)])
    of_class = found.fit.probabilities(rows.vectors[labels == 1])[:, 1]
    assert found.thresholds[0] < np.median(of_class) * 0.75


def test_share_of_none_is_worked_by_hand():
    # half look like clicks (0.1), half like nothing clicked (0.9)
    p_other = np.repeat([0.1, 0.9], 50)
    assert share_of_none(p_other, np.ones(100), 0.1) == pytest.approx(0.5)
    assert share_of_none(np.full(100, 0.1), np.ones(100), 0.1) == 0.0
    assert share_of_none(np.full(100, 0.9), np.ones(100), 0.1) == 1.0
    assert share_of_none(p_other, np.zeros(100), 0.1) == 0.0


def covered(n_unknown_others, seed=0):
    """Return clicks of two kinds among unknowns of both and of a third that nobody clicked."""
    rng = np.random.default_rng(seed)
    kinds = np.repeat([1, 2, 3], [150, 150, n_unknown_others])
    vectors = (8.0 * np.eye(4)[kinds] + rng.normal(size=(len(kinds), 4))).astype(np.float32)
    labels = np.full(len(kinds), UNANNOTATED)
    for kind in (1, 2):
        labels[np.flatnonzero(kinds == kind)[:10]] = kind
    return Rows(vectors, labels, np.ones(len(kinds)), np.ones(len(kinds))), kinds


def test_unknown_weighs_little_once_the_classes_cover_it():
    weights = [calibrate(covered(n)[0], 2, [np.ones(4)]).unknown_weight for n in (0, 300)]
    assert weights[0] < 0.3
    assert weights[1] == 1.0


def test_unknown_weighs_little_once_one_class_covers_it():
    """Clicks that nothing tells from the unknown: all there is looks like them."""
    alike, apart = (
        calibrate(clicks_among_unknowns(a, n_clicks=40), 1, [np.ones(4)]) for a in (0.0, 4.0)
    )
    assert alike.unknown_weight < 0.5
    assert apart.unknown_weight == 1.0


def test_third_kind_is_called_none_of_two():
    rows, kinds = covered(300)
    p = calibrate(rows, 2, [np.ones(4)]).fit.probabilities(rows.vectors)
    assert (p[kinds == 3].argmax(1) == 0).mean() > 0.9


def one_telling_number_among_noise(apart):
    """Return rows of 20 clicks, and an emphasis on the noise and one on what tells."""
    rng = np.random.default_rng(0)
    labels = np.repeat([1, UNANNOTATED], [20, 400])
    vectors = rng.normal(size=(420, 40)).astype(np.float32)
    vectors[:20, 0] += apart
    telling, noise = np.full(40, 0.1), np.ones(40)
    telling[0], noise[0] = 1.0, 0.1
    return Rows(vectors, labels, np.ones(420), np.ones(420)), noise, telling


def test_emphasis_that_ranks_left_out_clicks_higher_is_chosen():
    rows, noise, telling = one_telling_number_among_noise(apart=3.0)
    assert calibrate(rows, 1, [noise, telling]).emphasis is telling
    assert calibrate(rows, 1, [telling, noise]).emphasis is telling


def test_clicks_in_one_place_need_a_larger_gain_to_change_the_emphasis():
    rows, noise, telling = one_telling_number_among_noise(apart=0.5)
    assert calibrate(rows, 1, [noise, telling], places=20).emphasis is telling
    assert calibrate(rows, 1, [noise, telling], places=1).emphasis is noise


def test_former_emphasis_goes_for_less_than_what_made_it_but_not_for_nothing():
    rows, noise, telling = one_telling_number_among_noise(apart=0.5)
    assert calibrate(rows, 1, [noise, telling], places=1).emphasis is noise
    chosen = calibrate(rows, 1, [telling])
    assert calibrate(rows, 1, [noise, telling], former=chosen, places=1).emphasis is telling


def test_weight_of_the_unknown_stays_until_it_would_change_by_much():
    rows, _ = covered(300)
    emphases = [np.ones(4)]
    fresh = calibrate(rows, 2, emphases)
    near, far = (replace(fresh, unknown_weight=w) for w in (0.9, 0.5))
    assert calibrate(rows, 2, emphases, former=near).unknown_weight == 0.9
    assert calibrate(rows, 2, emphases, former=far).unknown_weight == fresh.unknown_weight == 1.0


def test_threshold_is_lower_where_all_clicks_lie_in_one_place():
    rows = clicks_among_unknowns(3.0)
    together, apart = (
        calibrate(rows, 1, [np.ones(4)], places=places).thresholds[0] for places in (1, 5)
    )
    assert together / apart == pytest.approx(SHARE_IN_ONE_PLACE / SHARE_OF_MEDIAN)


def test_first_emphasis_stays_where_nothing_tells_them_apart():
    rows = clicks_among_unknowns(3.0)
    first, second = np.ones(4), np.ones(4)
    assert calibrate(rows, 1, [first, second]).emphasis is first


@pytest.mark.parametrize(
    ("labels", "vectors"),
    [
        pytest.param([1] + [-1] * 9, None, id="one click"),
        pytest.param([1] * 4 + [-1] * 6, "same", id="all on one pixel"),
        pytest.param([2] * 4 + [-1] * 6, None, id="class with no clicks"),
        pytest.param([1, 2, 1, 2], None, id="nothing unknown"),
        pytest.param([1, 1, 0, 0], None, id="only clicks and rejections"),
    ],
)
def test_meagre_clicks_give_finite_answers(labels, vectors):
    rng = np.random.default_rng(0)
    labels = np.array(labels)
    n_classes = max(labels.max(), 1)
    x = np.ones((len(labels), 3)) if vectors == "same" else rng.normal(size=(len(labels), 3))
    rows = Rows(x.astype(np.float32), labels, np.ones(len(labels)), np.ones(len(labels)))
    found = calibrate(rows, n_classes, [np.ones(3), np.array([1.0, 0.5, 0.5])])
    assert np.isfinite(found.fit.probabilities(x)).all()
    assert all(LOWEST <= t <= HIGHEST for t in found.thresholds)


def test_order_of_the_rows_does_not_matter():
    rows = clicks_among_unknowns(2.0, n_clicks=5, n_classes=2)
    turned = rows.taken(np.arange(len(rows.labels))[::-1])
    one, other = (calibrate(r, 2, [np.ones(5)]) for r in (rows, turned))
    np.testing.assert_allclose(one.thresholds, other.thresholds, atol=0.02)
    np.testing.assert_allclose(
        one.fit.probabilities(rows.vectors), other.fit.probabilities(rows.vectors), atol=0.01
    )


def test_left_out_fits_and_refits_measure_against_the_same_standard():
    rows = clicks_among_unknowns(2.0, n_clicks=6)
    without = replace(rows, vectors=rows.vectors * (1, 0, 1, 1))
    spread = np.array([1.0, 1e6, 1.0, 1.0])  # elsewhere the telling number is noise
    told = replace(rows, standard=Standard(np.zeros(4), spread))
    blind = replace(without, standard=Standard(np.zeros(4), np.ones(4)))
    found, expected = (calibrate(r, 1, [np.ones(4)]) for r in (told, blind))
    assert found.thresholds == pytest.approx(expected.thresholds, abs=0.01)
    again = found.refit(told, 1).probabilities(rows.vectors)
    np.testing.assert_allclose(again, expected.fit.probabilities(without.vectors), atol=0.02)
