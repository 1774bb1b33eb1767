"""A model's network made ready to be asked many times: the same answer for less work.

Batch normalisation becomes part of the convolution before it, and where bfloat16 is faster all
weights are converted once instead of at every call. The copy does not follow the model: whoever
changes the weights in place makes a new one.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from functools import cache
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_xce.learning.appearance import optical_density
from napari_xce.learning.devices import Device
from napari_xce.learning.heads import Proposals
from napari_xce.learning.model import CellModel, Tiles, describe

M = TypeVar("M", bound=nn.Module)


class Inference:
    """Answer as the network of a model does, faster. Any thread; holds no state but weights.

    Parameters
    ----------
    model : CellModel
        In evaluation mode; it is left as it is.
    device : Device
        Where to compute.
    """

    def __init__(self, model: CellModel, device: Device) -> None:
        self._device = device
        self._source = (model.trunk, model.proposer, model.mask)
        trunk = copy.deepcopy(model.trunk)
        trunk.encoder2[0] = _with_stem(trunk.encoder2[0])
        self._trunk = self._ready(trunk)
        self._proposer = self._ready(copy.deepcopy(model.proposer))
        self._mask = self._ready(copy.deepcopy(model.mask))

    @property
    def _dtype(self) -> torch.dtype:
        return torch.bfloat16 if self._device.bfloat16 else torch.float32

    def _ready(self, part: M) -> M:
        """Fold a part and put it on the device, in its precision."""
        folded = fold_layers(part.eval()).requires_grad_(False)
        folded.to(dtype=self._dtype)
        folded.to(self._device.torch, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return folded

    def is_of(self, model: CellModel) -> bool:
        """Tell whether it was made of the network that this model has."""
        parts = (model.trunk, model.proposer, model.mask)
        return all(mine is its for mine, its in zip(self._source, parts, strict=True))

    @torch.inference_mode()
    def __call__(
        self, rgb: NDArray[np.uint8], with_mask: bool = False, context: int = 0
    ) -> list[Tiles]:
        """Look at pixels.

        Parameters
        ----------
        rgb : uint8, shape (B, H, W, 3)
            H and W multiples of 16.
        with_mask : bool
            Decode the mask, too.
        context : int
            Outer pixels that serve as context only (`Trunk`); the answer begins within them.

        Returns
        -------
        list of Tiles
            One for each of the batch, shapes beginning with 1.
        """
        levels = torch.from_numpy(np.ascontiguousarray(rgb)).to(self._device.torch)
        x = levels.to(self._dtype).mul_(2).sub_(255)  # whole numbers, which bfloat16 holds
        features = self._trunk.see(x.permute(0, 3, 1, 2), context)
        inner = slice(context, -context) if context else slice(None)
        density = optical_density(levels[:, inner, inner])
        seen = describe(features, self._proposer, self._mask if with_mask else None, density)
        return [_one(seen, k) for k in range(len(rgb))]


def _with_stem(first: nn.Module) -> nn.Conv2d:
    """Return the first convolution as one of 6 x 6, stride 2, on 2 * level - 255.

    It takes up the stem's rearrangement of pixels and the scaling to -2..2 before it: a channel
    (colour, dy, dx) at (ky, kx) is the colour at (2 ky + dy, 2 kx + dx).
    """
    assert isinstance(first, nn.Conv2d)
    n = first.out_channels
    parts = first.weight.detach().view(n, 3, 2, 2, 3, 3)  # (O, C, dy, dx, ky, kx)
    whole = nn.Conv2d(3, n, 6, stride=2, padding=2, bias=False)
    whole.weight = nn.Parameter(parts.permute(0, 1, 4, 2, 5, 3).reshape(n, 3, 6, 6) * 2 / 255)
    return whole


class ConvRelu(nn.Module):
    """A convolution and the ReLU after it in one pass over memory."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        c = self.conv
        if x.device.type != "cpu":
            return F.relu_(c(x))
        # what torch's own compiler makes of the two; plain calls pass over the output twice
        return torch.ops.mkldnn._convolution_pointwise(
            x, c.weight, c.bias, c.padding, c.stride, c.dilation, c.groups, "relu", [], ""
        )


@cache
def _can_fuse() -> bool:
    """Tell whether this build of torch has the fused convolution, and right."""
    conv, x = nn.Conv2d(3, 16, 3, padding=1), torch.randn(1, 3, 8, 8)
    try:
        with torch.inference_mode():
            return torch.allclose(ConvRelu(conv)(x), F.relu(conv(x)), rtol=1e-3, atol=1e-4)
    except (AttributeError, RuntimeError):
        return False


def fold_layers(module: M) -> M:
    """Merge normalisation, and ReLU where it can be, into the convolution before, in place.

    Notes
    -----
    In evaluation mode batch normalisation is an affine map of the convolution's output channels,
    so the weights take it up: same output up to rounding.
    """
    for name, child in module.named_children():
        if isinstance(child, nn.Sequential):
            child = nn.Sequential(*_folded(child))
            setattr(module, name, child)
        fold_layers(child)
    return module


def _folded(layers: Iterable[nn.Module]) -> list[nn.Module]:
    """Return fewer layers that do the same."""
    out: list[nn.Module] = []
    for layer in layers:
        before = out[-1] if out else None
        if isinstance(before, nn.Conv2d) and isinstance(layer, nn.BatchNorm2d):
            out[-1] = fuse_conv_bn_eval(before, layer)
        elif isinstance(before, nn.Conv2d) and isinstance(layer, nn.ReLU) and _can_fuse():
            out[-1] = ConvRelu(before)
        else:
            out.append(layer)
    return out


def _one(seen: Tiles, k: int) -> Tiles:
    """Return what was seen of one of a batch; views."""
    proposals = Proposals(*(part[k : k + 1] for part in seen.proposals))
    masks = (None if part is None else part[k : k + 1] for part in seen[3:])
    return Tiles(proposals, seen.appearance[k : k + 1], seen.grid[k : k + 1], *masks)
