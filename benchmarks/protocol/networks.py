"""What is trained: a head on the frozen trunk, or a small network from scratch; on crops.

With the shipped trunk, its features are computed once for each image and kept (float16, in memory)
and only the head is trained. From scratch, the whole small network is trained on pixels. Both give
two logits (background, class) at stride 4 (YOLLO) or 2 (UNet).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_xce.learning.devices import Device
from napari_xce.learning.heads import CELL_SIZE, MASK_CHANNELS, UNetHead, YolloHead
from napari_xce.learning.model import CellModel, object_probability
from napari_xce.learning.shipped import ShippedModel
from napari_xce.learning.trunk import (
    GRID_STRIDE,
    INPUT_MULTIPLE,
    MASK_STRIDE,
    ConvBlock,
    double,
)

Head = Literal["yollo", "unet"]
Start = Literal["trunk", "scratch"]
STRIDE: Final[dict[Head, int]] = {"yollo": GRID_STRIDE, "unet": MASK_STRIDE}
#: Side of a training crop, working pixels; smaller images are padded to it.
CROP: Final = 64
#: Probability of the class with which every network begins.
FIRST_ANSWER: Final = 0.1
_LEAST_SPREAD = 1e-2


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """One image as a network takes it.

    Attributes
    ----------
    shape : (int, int)
        Height and width of the image, working pixels; what lies beyond is padding.
    inputs : tuple of Tensor
        From scratch: pixels, uint8, (3, H, W). With the trunk: cell vectors, float16,
        (CELL_SIZE, H/4, W/4), and for the UNet head mask features, float16, (16, H/2, W/2).
    nucleus : Tensor, float32, (h, w), or None
        With the trunk: its own probability of a nucleus of any kind, at the head's stride.
    """

    shape: tuple[int, int]
    inputs: tuple[Tensor, ...]
    nucleus: Tensor | None = None


def padded(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mirror an image beyond its lower and right edge, to a multiple of 16 and at least a crop."""
    sides = [max(CROP, -(-n // INPUT_MULTIPLE) * INPUT_MULTIPLE) for n in pixels.shape[:2]]
    beyond = [(0, side - n) for side, n in zip(sides, pixels.shape, strict=False)]
    return np.pad(pixels, [*beyond, (0, 0)], mode="symmetric")


def as_pixels(pixels: NDArray[np.uint8]) -> Seen:
    """Bring an image, uint8, shape (H, W, 3), into the form that a network from scratch takes."""
    return Seen(pixels.shape[:2], (torch.from_numpy(padded(pixels).transpose(2, 0, 1).copy()),))


def shipped_model(weights: Path) -> CellModel:
    """Return a model whose trunk, proposer and mask decoder have these weights."""
    model, shipped = CellModel(["class"]), ShippedModel.load(weights)
    model.trunk, model.proposer, model.mask = shipped.trunk, shipped.proposer, shipped.mask
    return model.eval()


@torch.no_grad()
def look(pixels: NDArray[np.uint8], head: Head, model: CellModel, device: Device) -> Seen:
    """Return what the frozen model says of an image, uint8, shape (H, W, 3), for a head."""
    shape = pixels.shape[:2]
    with device.autocast():
        tiles = model(device.pixels(padded(pixels)[None]), with_mask=head == "unet")
    cells = tiles.cells[0].half().cpu()  # (CELL_SIZE, H/4, W/4)
    if tiles.mask_features is None or tiles.nucleus is None:
        return Seen(shape, (cells,), object_probability(tiles.proposals.objectness)[0, 0].cpu())
    nucleus = torch.sigmoid(tiles.nucleus)[0, 0].cpu()
    return Seen(shape, (cells, tiles.mask_features[0].half().cpu()), nucleus)


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """Mean and standard deviation of each channel of each input, (C, 1, 1)."""

    means: tuple[Tensor, ...]
    spreads: tuple[Tensor, ...]

    @classmethod
    def of(cls, seen: list[Seen]) -> Scale:
        """Measure features on training images."""
        found = [_spread([image.inputs[k] for image in seen]) for k in range(len(seen[0].inputs))]
        return cls(tuple(mean for mean, _ in found), tuple(spread for _, spread in found))

    def apply(self, seen: Seen) -> Seen:
        """Return an image with standardised features."""
        parts = zip(seen.inputs, self.means, self.spreads, strict=True)
        return replace(seen, inputs=tuple(((x.float() - m) / s).half() for x, m, s in parts))


def _spread(parts: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each channel over all images."""
    count = sum(part[0].numel() for part in parts)
    mean = torch.stack([part.float().sum((1, 2)) for part in parts]).sum(0) / count
    square = torch.stack([part.float().square().sum((1, 2)) for part in parts]).sum(0) / count
    spread = (square - mean.square()).clamp(min=0).sqrt().clamp(min=_LEAST_SPREAD)
    return mean[:, None, None], spread[:, None, None]


class OnTrunk(nn.Module):
    """A session's head on features of the frozen trunk; here there is no answer to correct."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head: nn.Module = YolloHead(1) if head == "yollo" else UNetHead(1)
        last = self.head.body[-1]
        last.reset_parameters()
        start_rare(last)

    def forward(self, cells: Tensor, mask_features: Tensor | None = None) -> Tensor:
        if mask_features is None:
            return self.head(cells.float())
        return self.head(mask_features.float(), cells.float())


def start_rare(last: nn.Conv2d) -> None:
    """Let a network begin with the answer "the class is rare" (RetinaNet, section 4.1)."""
    with torch.no_grad():
        last.bias.copy_(torch.tensor([0.0, math.log(FIRST_ANSWER / (1 - FIRST_ANSWER))]))


class FromScratch(nn.Module):
    """The trunk's plan at a quarter of its size: three levels, no residual bottom.

    Parameters
    ----------
    head : {"yollo", "unet"}
        Where the logits are read: at stride 4, or one decoder block later at stride 2.
    """

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.stem = nn.PixelUnshuffle(2)
        self.encoder2 = ConvBlock(12, 16)
        self.encoder4 = ConvBlock(16, 32)
        self.encoder8 = ConvBlock(32, 32)
        self.decoder4 = ConvBlock(32 + 32, 32)
        self.decoder2 = ConvBlock(32 + 16, MASK_CHANNELS) if head == "unet" else None
        self.last = nn.Conv2d(32 if head == "yollo" else MASK_CHANNELS, 2, 1)
        start_rare(self.last)

    def forward(self, pixels: Tensor) -> Tensor:
        e2 = self.encoder2(self.stem((pixels.float() / 255.0 - 0.5) * 4.0))  # (B, 16, H/2, W/2)
        e4 = self.encoder4(F.max_pool2d(e2, 2))  # (B, 32, H/4, W/4)
        e8 = self.encoder8(F.max_pool2d(e4, 2))  # (B, 32, H/8, W/8)
        x = self.decoder4(torch.cat([double(e8), e4], 1))  # (B, 32, H/4, W/4)
        if self.decoder2 is not None:
            x = self.decoder2(torch.cat([double(x), e2], 1))  # (B, 16, H/2, W/2)
        return self.last(x)


def crop_inputs(seen: Seen, y: int, x: int) -> tuple[Tensor, ...]:
    """Cut the crop that begins at working pixel (y, x), both multiples of 4, out of an image."""
    parts = []
    for part in seen.inputs:
        stride = {3: 1, CELL_SIZE: GRID_STRIDE, MASK_CHANNELS: MASK_STRIDE}[part.shape[0]]
        side, top, left = CROP // stride, y // stride, x // stride
        parts.append(part[:, top : top + side, left : left + side])
    return tuple(parts)
