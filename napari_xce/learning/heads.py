"""What stands on the trunk: proposals with an embedding, and the two heads a session trains.

``Proposer`` and ``MaskDecoder`` come with the shipped weights and know nuclei of any kind.
``YolloHead`` (detection) and ``UNetHead`` (segmentation) hold the classes of one session.
YOLLO follows the idea of van Rijthoven et al., MIDL 2018 (a one-anchor grid detector for dense
small cells); the layers are our own: a grid of stride 4, objectness/class, centre offset, size.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from napari_xce.learning.appearance import APPEARANCE_SIZE
from napari_xce.learning.trunk import (
    CONTEXT_CHANNELS,
    GRID_CHANNELS,
    SHALLOW_CHANNELS,
    ConvBlock,
    Features,
    double,
)

#: Length of the vector that describes a cell.
EMBEDDING_SIZE = 32
#: Length of the vector that tells kinds of cells apart: embedding, then appearance.
KIND_SIZE = EMBEDDING_SIZE + APPEARANCE_SIZE
#: Length of the vector of a grid cell: what tells kinds apart, then grid features.
CELL_SIZE = KIND_SIZE + GRID_CHANNELS
#: Channels of the decoder features from which the mask is read.
MASK_CHANNELS = 16
#: Diameter, working pixels, that a size logit of 0 stands for.
REFERENCE_DIAMETER = 16.0


class Proposals(NamedTuple):
    """What the grid says of nuclei of any kind.

    Attributes
    ----------
    objectness : Tensor, float, shape (B, 1, h, w)
        Logit that a nucleus has its centre in the grid cell.
    offset : Tensor, float, shape (B, 2, h, w)
        Centre minus the middle of the grid cell, (y, x), in grid cells.
    size : Tensor, float, shape (B, 1, h, w)
        Natural logarithm of the diameter over ``REFERENCE_DIAMETER``.
    embedding : Tensor, float, shape (B, EMBEDDING_SIZE, h, w)
        Description of the cell by which kinds are told apart.
    """

    objectness: Tensor
    offset: Tensor
    size: Tensor
    embedding: Tensor


class Proposer(nn.Module):
    """Propose nuclei of any kind, each with a size and an embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.box = nn.Sequential(
            nn.Conv2d(GRID_CHANNELS, 32, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(32, 4, 1),
        )
        self.embed = nn.Sequential(
            nn.Conv2d(GRID_CHANNELS + CONTEXT_CHANNELS, 64, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(64, EMBEDDING_SIZE, 1),
        )

    def forward(self, features: Features) -> Proposals:
        box = self.box(features.grid)  # (B, 4, h, w)
        around = torch.cat([features.grid, double(features.context)], 1)
        return Proposals(box[:, :1], box[:, 1:3], box[:, 3:], self.embed(around))


class MaskDecoder(nn.Module):
    """Decode features at stride 2 and, from them, the logit that a pixel is nucleus."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder2 = ConvBlock(GRID_CHANNELS + SHALLOW_CHANNELS, MASK_CHANNELS)
        self.nucleus = nn.Conv2d(MASK_CHANNELS, 1, 1)

    def forward(self, features: Features) -> tuple[Tensor, Tensor]:
        x = self.decoder2(torch.cat([double(features.grid), features.shallow], 1))
        return x, self.nucleus(x)  # (B, 16, H/2, W/2), (B, 1, H/2, W/2)


class _Head(nn.Module):
    """A head: its output starts at zero."""

    body: nn.Sequential

    @property
    def adds_nothing(self) -> bool:
        """Whether its output is zero whatever it is shown."""
        return not any(bool(p.any()) for p in self.body[-1].parameters())


class YolloHead(_Head):
    """Correct the grid scores of a session's classes; part of the detection head that is trained.

    Parameters
    ----------
    n_classes : int
        Number of classes, without background.

    Notes
    -----
    Output: what is added to the logits (background, classes) of the click learner's answer,
    shape (B, n_classes + 1, h, w). It starts at zero, so that before any training the head says
    exactly what the click learner says.
    """

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.body = _correction(CELL_SIZE, n_classes)

    def forward(self, cells: Tensor) -> Tensor:
        """Take cell vectors, shape (B, CELL_SIZE, h, w)."""
        return self.body(cells)


class UNetHead(_Head):
    """Correct the pixel scores of a session's classes; part of the segmentation head.

    Notes
    -----
    As ``YolloHead``, at stride 2: from mask features and the cell vectors around them.
    """

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(CELL_SIZE, 16, 1)
        self.body = _correction(MASK_CHANNELS + 16, n_classes)

    def forward(self, mask_features: Tensor, cells: Tensor) -> Tensor:
        """Take mask features (B, MASK_CHANNELS, H/2, W/2) and cell vectors at stride 4."""
        return self.body(torch.cat([mask_features, double(self.reduce(cells))], 1))


def _correction(in_channels: int, n_classes: int) -> nn.Sequential:
    """Build a small convolution whose output starts at zero."""
    last = nn.Conv2d(32, n_classes + 1, 1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)  # type: ignore[arg-type]
    return nn.Sequential(nn.Conv2d(in_channels, 32, 3, padding=1), nn.ReLU(inplace=True), last)
