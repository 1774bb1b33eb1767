"""The learning curve and what it promises."""

from __future__ import annotations

import numpy as np

from napari_xce.evaluation.progress import Measured, comparable, forecast


def curve(clicks, f1, basis="r1"):
    return [
        Measured(c, i, f, f - 0.05, f + 0.05, basis)
        for i, (c, f) in enumerate(zip(clicks, f1, strict=True))
    ]


def test_flat_curve_says_that_more_clicks_gain_little():
    assert forecast(curve([60, 70, 80, 100], [0.80, 0.80, 0.80, 0.80])).startswith(
        "More clicks will gain little now"
    )


def test_rising_curve_promises_what_the_line_says():
    """F1 grows by 0.1 each doubling: 50 more clicks after 50 are one doubling."""
    clicks = [25, 30, 40, 50]
    f1 = 0.5 + 0.1 * np.log2(np.array(clicks) / 25)
    assert forecast(curve(clicks, f1)) == "50 more clicks may gain about 0.10 of F1."


def test_noisy_curve_is_uncertain_and_not_called_flat():
    words = forecast(curve([50, 60, 70, 80, 100], [0.8, 0.6, 0.9, 0.6, 0.8]))
    assert "uncertain" in words


def test_few_measurements_or_few_clicks_say_nothing():
    assert forecast([]) == ""
    assert forecast(curve([60, 80, 100], [0.8, 0.8, 0.8])) == ""
    assert forecast(curve([90, 93, 96, 100], [0.8, 0.8, 0.8, 0.8])) == ""


def test_early_steep_part_is_left_out():
    """From 4 to 20 clicks it rose; from half of 100 clicks on it is flat."""
    words = forecast(curve([4, 8, 20, 60, 70, 80, 100], [0.2, 0.4, 0.6, 0.8, 0.8, 0.8, 0.8]))
    assert words.startswith("More clicks will gain little now")


def test_other_regions_begin_a_new_curve():
    both = curve([60, 70, 80], [0.1, 0.2, 0.3]) + curve([100, 100], [0.6, 0.7], "r1 r2")
    assert [(m.clicks, m.f1) for m in comparable(both)] == [(100, 0.7)]
    assert forecast(both) == ""
