"""A model's network made ready to be asked many times: the same answer for less work.

Batch normalisation becomes part of the convolution before it, and where bfloat16 is faster all
weights are converted once instead of at every call. The copy does not follow the model: whoever
changes the weights in place makes a new one.
"""

from __future__ import annotations

import copy
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_xce.learning.devices import Device
from napari_xce.learning.model import CellModel, Tiles, look

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
        self._trunk = self._ready(model.trunk)
        self._proposer = self._ready(model.proposer)
        self._mask = self._ready(model.mask)

    def _ready(self, part: M) -> M:
        """Return a folded copy on the device, in its precision."""
        dtype = torch.bfloat16 if self._device.bfloat16 else torch.float32
        folded = fold_batch_norm(copy.deepcopy(part).eval()).requires_grad_(False)
        folded.to(dtype=dtype)
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
        with_mask, context
            As for `look`.

        Returns
        -------
        list of Tiles
            One for each of the batch, shapes beginning with 1.
        """
        pixels = self._device.pixels(rgb)
        seen = look(self._trunk, self._proposer, self._mask, pixels, with_mask, context)
        return [_one(seen, k) for k in range(len(rgb))]


def fold_batch_norm(module: M) -> M:
    """Merge each batch normalisation within a module into the convolution before it, in place.

    Notes
    -----
    In evaluation mode it is an affine map of the convolution's output channels, so the weights
    take it up: same output up to rounding.
    """
    for name, child in module.named_children():
        if isinstance(child, nn.Sequential):
            layers: list[nn.Module] = []
            for layer in child:
                if (
                    isinstance(layer, nn.BatchNorm2d)
                    and layers
                    and isinstance(layers[-1], nn.Conv2d)
                ):
                    layers[-1] = fuse_conv_bn_eval(layers[-1], layer)
                else:
                    layers.append(layer)
            child = nn.Sequential(*layers)
            setattr(module, name, child)
        fold_batch_norm(child)
    return module


def _one(seen: Tiles, k: int) -> Tiles:
    """Return what was seen of one of a batch; views."""
    masks = (None if t is None else t[k : k + 1] for t in (seen.mask_features, seen.nucleus))
    proposals = type(seen.proposals)(*(t[k : k + 1] for t in seen.proposals))
    return Tiles(proposals, seen.cells[k : k + 1], *masks)
