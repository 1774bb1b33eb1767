from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from napari_xce.learning.windows import highest_around, over_windows


@pytest.mark.parametrize("side", [1, 3, 5, 9, 15])
def test_highest_around_is_what_pooling_says(side):
    x = torch.rand(2, 3, 17, 12)
    expected = F.max_pool2d(x, side, stride=1, padding=side // 2)
    torch.testing.assert_close(highest_around(x, side), expected, rtol=0, atol=0)


@pytest.mark.parametrize("side", [1, 2, 5, 12])
def test_sums_over_windows_are_those_of_the_windows(side):
    x = torch.rand(1, 2, 15, 12)
    sums = over_windows(x, side, torch.add)
    assert sums.shape == (1, 2, 16 - side, 13 - side)
    torch.testing.assert_close(sums, F.avg_pool2d(x, side, stride=1) * side**2)
