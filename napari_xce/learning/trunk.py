"""The trunk: the small network with shipped weights that turns pixels into features.

A UNet behind a ``PixelUnshuffle(2)`` stem: the full-resolution stages, which cost a CPU most, are
traded for channels. It works at 0.5 um/px and gives features at stride 4 (for the grid of the
detection head) and, when a mask is wanted, at stride 2. Any thread may call it; it holds no state
but its weights.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Working pixels per cell of the detection grid.
GRID_STRIDE = 4
#: Working pixels per pixel of the mask features.
MASK_STRIDE = 2
#: Input height and width must be multiples of this (four halvings).
INPUT_MULTIPLE = 16


class Features(NamedTuple):
    """What the trunk says of a batch of tiles.

    Attributes
    ----------
    grid : Tensor, float, shape (B, GRID_CHANNELS, H/4, W/4)
        Decoder features at stride 4.
    context : Tensor, float, shape (B, CONTEXT_CHANNELS, H/8, W/8)
        Decoder features at stride 8: what surrounds a cell.
    shallow : Tensor, float, shape (B, SHALLOW_CHANNELS, H/2, W/2)
        Encoder features at stride 2, from which the mask decoder takes its edges.
    """

    grid: Tensor
    context: Tensor
    shallow: Tensor


SHALLOW_CHANNELS = 16
GRID_CHANNELS = 48
CONTEXT_CHANNELS = 64


class ConvBlock(nn.Sequential):
    """Two 3x3 convolutions, each with batch normalisation and ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around which the input passes unchanged."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.body(x))


class Trunk(nn.Module):
    """Turn RGB pixels at 0.5 um/px into features.

    Notes
    -----
    Input: float, shape (B, 3, H, W), values 0..1, H and W multiples of 16. The channel counts
    are multiples of 16, the block size of the CPU kernels.

    A feature depends on pixels up to 164 away, 112 of them by way of the five convolutions at
    stride 16. So an outer border of the input (``context``, a multiple of 16) may go to the encoder
    alone: the decoder, more than half of the work, is spared it, and what it says is the same.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.PixelUnshuffle(2)
        self.encoder2 = ConvBlock(12, SHALLOW_CHANNELS)
        self.encoder4 = ConvBlock(16, 32)
        self.encoder8 = ConvBlock(32, 64)
        self.encoder16 = ConvBlock(64, 128)
        self.bottom = nn.Sequential(ResidualBlock(128, 1), ResidualBlock(128, 2))
        self.decoder8 = ConvBlock(128 + 64, CONTEXT_CHANNELS)
        self.decoder4 = ConvBlock(CONTEXT_CHANNELS + 32, GRID_CHANNELS)

    def forward(self, pixels: Tensor) -> Features:
        x = ((pixels - 0.5) * 4.0).to(next(self.parameters()).dtype)
        return self.see(self.stem(x))  # (B, 12, H/2, W/2)

    def see(self, x: Tensor, context: int = 0) -> Features:
        """Go on from the stem."""
        e2 = self.encoder2(x)  # (B, 16, H/2, W/2)
        e4 = self.encoder4(halve(e2))  # (B, 32, H/4, W/4)
        e8 = self.encoder8(halve(e4))  # (B, 64, H/8, W/8)
        e16 = self.bottom(self.encoder16(halve(e8)))  # (B, 128, H/16, W/16)
        e2, e4, e8, e16 = (
            without_border(x, context // stride)
            for x, stride in ((e2, 2), (e4, 4), (e8, 8), (e16, 16))
        )
        d8 = self.decoder8(torch.cat([double(e16), e8], 1))  # (B, 64, H/8, W/8)
        d4 = self.decoder4(torch.cat([double(d8), e4], 1))  # (B, 48, H/4, W/4)
        return Features(grid=d4, context=d8, shallow=e2)


def halve(x: Tensor) -> Tensor:
    """Return the maximum of each 2 x 2 pixels of (B, C, H, W), H and W even."""
    if torch.is_grad_enabled() or not x.is_contiguous(memory_format=torch.channels_last):
        return F.max_pool2d(x, 2)
    # the same in whole rows of memory, which a processor does in half the time
    b, c, h, w = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(b, h // 2, 2, w * c)
    pairs = torch.maximum(rows[:, :, 0], rows[:, :, 1]).view(b, h // 2, w // 2, 2, c)
    return torch.maximum(pairs[:, :, :, 0], pairs[:, :, :, 1]).permute(0, 3, 1, 2)


def without_border(x: Tensor, border: int) -> Tensor:
    """Return the middle of (B, C, H, W), as many pixels cut off each side; a view."""
    return x[:, :, border:-border, border:-border] if border else x


def double(x: Tensor) -> Tensor:
    """Repeat each pixel twice along both axes."""
    return F.interpolate(x, scale_factor=2, mode="nearest")
