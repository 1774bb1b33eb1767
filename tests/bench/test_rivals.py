"""The networks that ours is timed against are of the published size."""

from __future__ import annotations

import pytest
import torch

from napari_xce.bench.rivals import InstanSegUNet, PaperUNet


@pytest.mark.parametrize(
    ("network", "millions", "outputs"), [(PaperUNet, 7.8, 2), (InstanSegUNet, 3.8, 5)]
)
def test_network_has_the_published_number_of_weights(network, millions, outputs):
    built = network().eval()
    weights = sum(p.numel() for p in built.parameters()) / 1e6
    assert weights == pytest.approx(millions, abs=0.1)
    with torch.no_grad():
        assert built(torch.zeros(1, 3, 64, 64)).shape == (1, outputs, 64, 64)
