"""How a cell looks, measured and not learnt: darkness, colour, texture, grain, neighbourhood.

The embedding was trained on breast tissue and to overlook stain. On another organ, or where stain
is what counts, it says little, and these plain measurements tell kinds of cells apart better
(``docs/method.md``). One vector for each cell of the grid, from pixels at 0.5 um/px and from what
the proposer says. Any thread; no state.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_xce.learning.windows import Join, highest_around, over_windows

#: Length of the vector.
APPEARANCE_SIZE = 37
_LEAST = 1e-6


def optical_density(levels: Tensor) -> Tensor:
    """Return how dark each colour is, at half the resolution.

    Parameters
    ----------
    levels : Tensor, uint8 or float, shape (B, H, W, 3)
        RGB, 0..255; H and W even.

    Returns
    -------
    Tensor, float32, shape (B, 3, H / 2, W / 2)
        Mean of -log((level + 1) / 256) over 2 x 2 pixels.
    """
    b, h, w, _ = levels.shape
    rows = (levels.float() + 1.0).reshape(b, h // 2, 2, w * 3)
    # the mean of logarithms is the logarithm of the product: one for four pixels
    pairs = (rows[:, :, 0] * rows[:, :, 1]).view(b, h // 2, w // 2, 2, 3)
    product = pairs.new_empty(b, 3, h // 2, w // 2)
    torch.mul(pairs[:, :, :, 0].movedim(3, 1), pairs[:, :, :, 1].movedim(3, 1), out=product)
    return math.log(256.0) - product.log_() / 4


def cell_appearance(density: Tensor, nucleus: Tensor, size: Tensor) -> Tensor:
    """Measure the surroundings of each grid cell.

    Parameters
    ----------
    density : Tensor, float32, shape (B, 3, H / 2, W / 2)
        As of `optical_density`.
    nucleus : Tensor, float, shape (B, 1, H / 4, W / 4)
        Probability that a nucleus has its centre in the grid cell.
    size : Tensor, float, shape (B, 1, H / 4, W / 4)
        Logarithm of its diameter, as ``Proposals.size``.

    Returns
    -------
    Tensor, float32, shape (B, APPEARANCE_SIZE, H / 4, W / 4)
        Optical density of red, green and blue in windows of 4, 12, 20, 36 and 60 pixels; spread of
        darkness, grain (coherence of the structure tensor) and steepness in windows of 12, 20 and
        36; darkest and lightest spot within 12 and 20; the size; and of the nuclei around: how many
        within 36 and 84 pixels, their mean size, colour, spread and grain.

    Notes
    -----
    Darkness is the mean optical density of the three channels. Coherence is
    |lambda_1 - lambda_2| / (lambda_1 + lambda_2) of the averaged structure tensor: 1 where all
    edges run one way, as in spindle cells, 0 where they run every way (Bigun, Granlund, ICCV 1987).
    """
    dark = density.mean(1, keepdim=True)
    colour, level, square = (_to_grid(x) for x in (density, dark, dark * dark))
    tensor = _structure_tensor(dark)
    size, nucleus = size.float().contiguous(), nucleus.float().contiguous()
    bases = torch.cat([level, square, tensor, colour], 1)  # (B, 8, h, w)
    around = {k: _around(bases, k) for k in (3, 5, 9)}
    out = [colour, *(around[k][:, 5:] for k in (3, 5, 9)), _around(colour, 15)]
    out += (spread := [_spread(around[k]) for k in (3, 5, 9)])
    grain, steepness = zip(*(_grain(around[k][:, 2:5]) for k in (3, 5, 9)), strict=True)
    out += [*grain, *steepness]
    out += [highest_around(_to_grid(dark, torch.maximum), 3)]
    extremes = torch.cat([level, -level], 1)
    out += [highest_around(extremes[:, 1:], 3), highest_around(extremes, 5), size]
    peak = nucleus * (nucleus >= highest_around(nucleus, 3))
    weight = peak + 1e-4
    described = torch.cat([size, colour, spread[0], grain[1]], 1)
    near = _around(torch.cat([weight, peak, described * weight], 1), 21)
    out += [_count(_around(peak, 9), 9), _count(near[:, 1:2], 21), near[:, 2:] / near[:, :1]]
    return torch.cat(out, 1)


def _to_grid(x: Tensor, join: Join = torch.add) -> Tensor:
    """Return the mean (or another union) of each grid cell, from half the resolution."""
    rows = join(x[:, :, 0::2], x[:, :, 1::2])
    both = join(rows[..., 0::2], rows[..., 1::2])
    return both / 4 if join is torch.add else both


def _around(x: Tensor, cells: int) -> Tensor:
    """Return the mean over a window of so many grid cells; beyond the edge nothing counts."""
    half = cells // 2
    padded = F.pad(x, (half, half, half, half))
    return over_windows(padded, cells, torch.add) * _one_over_count(x, cells)


def _one_over_count(x: Tensor, cells: int) -> Tensor:
    """Return one over the number of grid cells in each window, shape (h, w)."""
    counts = []
    for n in x.shape[2:]:
        at = torch.arange(n, device=x.device)
        count = (at + cells // 2).clamp(max=n - 1) - (at - cells // 2).clamp(min=0) + 1
        counts.append(1.0 / count)
    return counts[0][:, None] * counts[1]


def _spread(means: Tensor) -> Tensor:
    """Return the standard deviation of darkness from the means of it and of its square."""
    return (means[:, 1:2] - means[:, :1].square()).clamp(min=_LEAST).sqrt()


def _count(mean: Tensor, cells: int) -> Tensor:
    """Return the logarithm of a number of nuclei from their mean over a window."""
    return torch.log(mean.clamp(min=0) * cells**2 + 0.3)


def _structure_tensor(dark: Tensor) -> Tensor:
    """Return the products of the slopes, yy, xx and yx, by grid cell: (B, 3, h, w)."""
    padded = F.pad(dark, (1, 1, 1, 1), mode="replicate")
    dy = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    dx = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    return _to_grid(torch.cat([dy * dy, dx * dx, dy * dx], 1))


def _grain(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """Return coherence, 0..1, and the logarithm of the mean squared slope."""
    yy, xx, yx = tensor.split(1, 1)
    total = yy + xx + 1e-5
    return ((yy - xx).square() + 4 * yx.square()).sqrt() / total, total.log()
