"""Networks that others use for the same job, by shape: random weights, for speed alone.

Layers and channels follow the published descriptions; no code or weights of theirs are used.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PaperUNet(nn.Module):
    """The UNet of the XCE paper's proof of concept: 32 channels, depth 4, 7.8 million weights.

    Notes
    -----
    Ronneberger et al., MICCAI 2015, with batch normalisation; channels 32, 64, 128, 256 and 512.
    """

    def __init__(self, channels: int = 32, depth: int = 4, outputs: int = 2) -> None:
        super().__init__()
        widths = [channels * 2**k for k in range(depth + 1)]
        self.down = nn.ModuleList(
            _convs(a, b, b) for a, b in zip([3, *widths], widths, strict=False)
        )
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, 2) for a, b in pairwise(widths))
        self.join = nn.ModuleList(_convs(2 * w, w, w) for w in widths[:-1])
        self.last = nn.Conv2d(channels, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Take (B, 3, H, W), H and W multiples of 16."""
        kept: list[Tensor] = []
        for block in self.down:
            x = block(x if not kept else F.max_pool2d(x, 2))
            kept.append(x)
        for up, join, skip in zip(self.up[::-1], self.join[::-1], kept[-2::-1], strict=True):
            x = join(torch.cat([up(x), skip], 1))
        return self.last(x)


class InstanSegUNet(nn.Module):
    """The shape of InstanSeg's UNet: blocks of four convolutions with two residual paths.

    Notes
    -----
    Goldsborough et al., arXiv 2408.15954: channels 32, 64, 128 and 256, 3.8 million weights, at
    0.5 um/px. Its instance step comes on top and is not counted.
    """

    def __init__(self, outputs: int = 5) -> None:
        super().__init__()
        widths = [32, 64, 128, 256]
        self.down = nn.ModuleList(
            _Residual(a, b) for a, b in zip([3, *widths], widths, strict=False)
        )
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList(_Residual(a, b) for a, b in pairs)
        self.skip = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairs)
        self.last = nn.Conv2d(widths[0], outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Take (B, 3, H, W), H and W multiples of 8."""
        kept: list[Tensor] = []
        for block in self.down:
            x = block(x if not kept else F.max_pool2d(x, 2))
            kept.append(x)
        for block, skip, seen in zip(self.up, self.skip, kept[-2::-1], strict=True):
            x = block(F.interpolate(x, scale_factor=2.0, mode="nearest") + skip(seen))
        return self.last(x)


class _Residual(nn.Module):
    """Four 3x3 convolutions, a shortcut around each pair."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = _convs(inputs, inputs, outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1)
        self.second = _convs(outputs, outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x) + self.shortcut(x)
        return x + self.second(x)


def _convs(inputs: int, inner: int, outputs: int) -> nn.Sequential:
    """Build two 3x3 convolutions, each with batch normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, inner, 3, padding=1, bias=False),
        nn.BatchNorm2d(inner),
        nn.ReLU(inplace=True),
        nn.Conv2d(inner, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
