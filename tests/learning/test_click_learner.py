from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime, brentq
from scipy.special import expit

from napari_xce.learning import click_learner
from napari_xce.learning.click_learner import (
    OTHER,
    UNANNOTATED,
    Standard,
    fit_clicks,
    loss_and_gradient,
    ridge_for,
)

RIDGE = 0.2


def two_kinds(rng, n_each=200, apart=3.0, size=6):
    """Return vectors of two kinds, apart in every direction, and which rows are of the second."""
    kind = np.repeat([False, True], n_each)
    return rng.normal(size=(2 * n_each, size)) + apart * kind[:, None], kind


def fit(vectors, labels, n_classes=1, weights=None, **options):
    labels = np.asarray(labels)
    weights = np.ones(len(labels)) if weights is None else weights
    return fit_clicks(np.asarray(vectors, float), labels, weights, n_classes, **options)


def test_five_clicks_rank_a_separable_kind_first():
    rng = np.random.default_rng(0)
    vectors, kind = two_kinds(rng)
    labels = np.full(len(vectors), UNANNOTATED)
    labels[np.flatnonzero(kind)[:5]] = 1
    score = fit(vectors, labels).probabilities(vectors)[:, 1]
    assert score[kind].min() > score[~kind].max()


def missed_positives():
    """Return a line with five clicks at +1, and unannotated cells: ten at +1 and ten at -1."""
    vectors = np.array([[1.0]] * 15 + [[-1.0]] * 10)
    labels = np.array([1] * 5 + [UNANNOTATED] * 20)
    return vectors, labels


def test_missed_positives_are_dropped_instead_of_pushed_down():
    vectors, labels = missed_positives()
    p = fit(vectors, labels, ridge=RIDGE).probabilities([[1.0]])[0, 1]
    # what is left: clicks at +1 against unknowns at -1, each of weight one, one weight +-w each
    scale = vectors.std()

    def slope(w):
        return 0.4 * w - 4 / scale * expit(-2 * w / scale)

    expected = expit(2 * brentq(slope, 0.0, 10.0) / scale)
    assert p == pytest.approx(expected, abs=1e-3)
    assert p > 0.85


def test_without_dropping_missed_positives_would_be_pushed_down(monkeypatch):
    vectors, labels = missed_positives()
    monkeypatch.setattr(click_learner, "TAU", 1.1)
    # at +1 weigh clicks 1 and unknowns 1/2: without a ridge p = 1 / 1.5, with one it is less
    assert fit(vectors, labels, ridge=1e-6).probabilities([[1.0]])[0, 1] == pytest.approx(
        2 / 3, abs=1e-2
    )
    assert fit(vectors, labels, ridge=RIDGE).probabilities([[1.0]])[0, 1] < 2 / 3


def test_rejected_kind_falls_below_the_clicked_one():
    rng = np.random.default_rng(1)
    vectors, kind = two_kinds(rng)
    other_kind = rng.normal(size=(200, 6)) + [3, 3, 3, -3, -3, -3]
    vectors = np.concatenate([vectors, other_kind])
    labels = np.full(len(vectors), UNANNOTATED)
    labels[np.flatnonzero(kind)[:5]] = 1
    alike = fit(vectors, labels).probabilities(other_kind)[:, 1].mean()
    labels[400:405] = OTHER
    rejected = fit(vectors, labels).probabilities(other_kind)[:, 1].mean()
    assert rejected < alike
    assert rejected < 0.25


def test_each_of_several_classes_finds_its_own():
    rng = np.random.default_rng(2)
    centres = 5.0 * np.eye(4)
    kinds = np.repeat(np.arange(4), 100)
    vectors = centres[kinds] + rng.normal(size=(400, 4))
    labels = np.full(400, UNANNOTATED)
    for kind in (1, 2, 3):
        labels[np.flatnonzero(kinds == kind)[:5]] = kind
    best = fit(vectors, labels, n_classes=3).probabilities(vectors).argmax(1)
    assert (best == kinds).mean() > 0.95


def test_a_class_of_few_clicks_stands_beside_one_of_many():
    rng = np.random.default_rng(3)
    vectors, kind = two_kinds(rng)
    labels = np.where(kind, UNANNOTATED, 2)  # 200 clicks of the second class
    labels[np.flatnonzero(kind)[:2]] = 1  # two of the first
    p = fit(vectors, labels, n_classes=2).probabilities(vectors)
    assert (p[kind, 1] > p[kind, 2]).mean() > 0.9


@pytest.mark.parametrize("times", [1, 100])
def test_unannotated_rows_together_weigh_as_much_as_the_clicks(monkeypatch, times):
    monkeypatch.setattr(click_learner, "TAU", 1.1)
    vectors = np.array([[1.0]] * 4 + [[0.0]] + ([[1.0]] + [[0.0]] * 4) * times)
    labels = [1] * 5 + [UNANNOTATED] * 5 * times
    # 4/5 of the clicks and 1/5 of the unknowns lie at 1
    p = fit(vectors, labels, ridge=1e-6).probabilities([[1.0]])[0, 1]
    assert p == pytest.approx(4 / 5, abs=1e-3)


def test_row_without_weight_teaches_nothing():
    vectors, labels = missed_positives()
    with_stray = np.concatenate([vectors, [[-1.0]]])
    weights = np.ones(len(with_stray))
    weights[-1] = 0.0
    stray = fit(with_stray, np.append(labels, 1), weights=weights)
    plain = fit(vectors, labels)
    np.testing.assert_allclose(
        stray.probabilities([[1.0], [-1.0]]), plain.probabilities([[1.0], [-1.0]]), atol=0.02
    )


def test_warm_start_reaches_the_cold_optimum():
    rng = np.random.default_rng(4)
    vectors, kind = two_kinds(rng)
    labels = np.full(len(vectors), UNANNOTATED)
    labels[np.flatnonzero(kind)[:5]] = 1
    before = fit(vectors[:300], labels[:300])
    labels[np.flatnonzero(kind)[5:8]] = 1
    labels[:3] = OTHER
    cold = fit(vectors, labels)
    warm = fit(vectors, labels, start=before)
    np.testing.assert_allclose(warm.probabilities(vectors), cold.probabilities(vectors), atol=5e-3)


def test_fit_like_another_drops_what_that_one_is_sure_of():
    rng = np.random.default_rng(4)
    vectors, kind = two_kinds(rng)
    labels = np.full(len(vectors), UNANNOTATED)
    labels[np.flatnonzero(kind)[:5]] = 1
    whole = fit(vectors, labels)
    labels[np.flatnonzero(kind)[0]] = OTHER  # something else than the other fit knew
    sure = (whole.probabilities(vectors)[:, 1] > 0.5) & (labels == UNANNOTATED)
    assert sure.sum() > 50
    weights = np.ones(len(vectors))
    even = fit(vectors, labels, weights=weights, like=whole)
    uneven = fit(vectors, labels, weights=np.where(sure, 9.0, 1.0), like=whole)
    np.testing.assert_allclose(even.probabilities(vectors), uneven.probabilities(vectors))


def test_start_of_another_number_of_classes_is_passed_over():
    vectors, labels = missed_positives()
    two = fit(np.concatenate([vectors, [[3.0]]]), np.append(labels, 2), n_classes=2)
    one = fit(vectors, labels, start=two)
    np.testing.assert_allclose(one.weight, fit(vectors, labels).weight)


@pytest.mark.parametrize(
    ("vectors", "labels"),
    [
        pytest.param([[1.0, 7.0], [2.0, 7.0], [3.0, 7.0]], [1, -1, -1], id="constant column"),
        pytest.param([[7.0, 7.0]] * 6, [1, 0, -1, -1, -1, -1], id="all rows the same"),
        pytest.param([[1.0, 2.0]] * 3 + [[4.0, 0.0]] * 3, [1, 1, 1, -1, -1, -1], id="duplicates"),
        pytest.param([[1.0, 2.0]], [1], id="one click and nothing else"),
        pytest.param([[1.0, 2.0], [2.0, 1.0]], [1, 0], id="no unannotated rows"),
        pytest.param([[1.0, 2.0], [1.0, 2.0]], [1, -1], id="all unannotated rows dropped"),
    ],
)
def test_meagre_data_give_finite_answers(vectors, labels):
    p = fit(vectors, labels).probabilities(np.array([[0.0, 0.0], [100.0, -100.0]]))
    assert np.isfinite(p).all()
    np.testing.assert_allclose(p.sum(1), 1.0)


def test_rows_of_no_weight_at_all_give_finite_answers():
    p = fit([[1.0], [2.0], [3.0]], [1, -1, -1], weights=np.zeros(3)).probabilities([[1.0]])
    assert np.isfinite(p).all()


def test_gradient_is_the_slope_of_the_loss():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(7, 3))
    arguments = (x, rng.integers(0, 3, 7), rng.uniform(0, 1, 7), RIDGE)
    theta = rng.normal(size=3 * 4)
    slope = approx_fprime(theta, lambda t: loss_and_gradient(t, *arguments)[0], 1e-7)
    np.testing.assert_allclose(loss_and_gradient(theta, *arguments)[1], slope, atol=1e-5)


def test_loss_of_one_row_is_worked_by_hand():
    theta = np.array([0.0, 0.0, 1.0, 0.5])  # other: w 0, b 0; class: w 1, b 0.5
    loss, _ = loss_and_gradient(theta, np.array([[2.0]]), np.array([1]), np.array([3.0]), 0.2)
    assert loss == pytest.approx(3 * np.log1p(np.exp(-2.5)) + 0.1)


def test_affine_form_gives_the_same_probabilities():
    rng = np.random.default_rng(6)
    vectors, kind = two_kinds(rng)
    model = fit(10 * vectors - 3, np.where(kind, 1, UNANNOTATED))
    weight, bias = model.affine()
    logits = (10 * vectors - 3) @ weight.T + bias
    expected = np.exp(logits[:, 1]) / np.exp(logits).sum(1)
    np.testing.assert_allclose(model.probabilities(10 * vectors - 3)[:, 1], expected)
    standardised = (10 * vectors - 3 - model.mean) / model.scale
    np.testing.assert_allclose(standardised @ model.weight.T + model.bias, logits, atol=1e-9)


def test_penalty_falls_with_many_clicks_only():
    few, many = np.repeat([1, 2, UNANNOTATED], [8, 12, 500]), np.repeat([1, 2, OTHER], [30, 50, 9])
    assert ridge_for(few, 2) == ridge_for(np.array([UNANNOTATED]), 2) == 3.0
    assert ridge_for(many, 2) == pytest.approx(3.0 * 10 / 40)


def test_vectors_are_measured_against_themselves_unless_told_otherwise():
    rng = np.random.default_rng(1)
    vectors, kind = two_kinds(rng)
    labels = np.where(kind, 1, UNANNOTATED)
    by_default = fit(vectors, labels).probabilities(vectors)
    told = fit(vectors, labels, standard=Standard.of(vectors)).probabilities(vectors)
    np.testing.assert_array_equal(told, by_default)


def test_what_varies_much_elsewhere_tells_less_here():
    rng = np.random.default_rng(2)
    vectors, kind = two_kinds(rng, size=2)
    labels = np.where(kind, 1, UNANNOTATED)
    elsewhere = rng.normal(size=(500, 2)) * (20.0, 1.0)
    trusted, _ = fit(vectors, labels, standard=Standard.of(elsewhere)).affine()
    assert np.abs(trusted[:, 0]).max() < 0.3 * np.abs(trusted[:, 1]).max()
    alike, _ = fit(vectors, labels).affine()
    assert np.abs(alike[:, 0]).max() > 0.7 * np.abs(alike[:, 1]).max()
