"""How a cell looks, measured and not learnt: darkness, colour, texture, grain, neighbourhood.

The embedding was trained on breast tissue and to overlook stain. On another organ, or where stain
is what counts, it says little, and these plain measurements tell kinds of cells apart better
(``docs/method.md``). One vector for each cell of the grid, from pixels at 0.5 um/px and from what
the proposer says. Any thread; no state.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_xce.learning.trunk import GRID_STRIDE

#: Length of the vector.
APPEARANCE_SIZE = 37
_LEAST = 1e-6
#: Working pixels per pixel at which texture is measured.
_FINE = 2


def cell_appearance(pixels: Tensor, nucleus: Tensor, size: Tensor) -> Tensor:
    """Measure the surroundings of each grid cell.

    Parameters
    ----------
    pixels : Tensor, float, shape (B, 3, H, W)
        RGB, 0..1.
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
    density = -torch.log((pixels.float().contiguous() * 255.0 + 1.0) / 256.0)
    density = F.avg_pool2d(density, _FINE)  # at half resolution: a quarter of the work
    dark = density.mean(1, keepdim=True)
    colour, level, square = (_to_grid(x) for x in (density, dark, dark * dark))
    tensor = _structure_tensor(dark)
    size, nucleus = size.float(), nucleus.float()
    bases = torch.cat([level, square, tensor, colour], 1)  # (B, 8, h, w)
    around = {k: _around(bases, k) for k in (3, 5, 9)}
    out = [colour, *(around[k][:, 5:] for k in (3, 5, 9)), _around(colour, 15)]
    out += (spread := [_spread(around[k]) for k in (3, 5, 9)])
    grain, steepness = zip(*(_grain(around[k][:, 2:5]) for k in (3, 5, 9)), strict=True)
    out += [*grain, *steepness]
    out += [F.max_pool2d(F.max_pool2d(dark, GRID_STRIDE // _FINE), 3, 1, 1)]
    extremes = torch.cat([level, -level], 1)
    out += [F.max_pool2d(extremes[:, 1:], 3, 1, 1), _highest(extremes, 5), size]
    peak = nucleus * (nucleus >= F.max_pool2d(nucleus, 3, 1, 1))
    weight = peak + 1e-4
    described = torch.cat([size, colour, spread[0], grain[1]], 1)
    near = _around(torch.cat([weight, peak, described * weight], 1), 21)
    out += [_count(_around(peak, 9), 9), _count(near[:, 1:2], 21), near[:, 2:] / near[:, :1]]
    return torch.cat(out, 1)


def _to_grid(x: Tensor) -> Tensor:
    """Return the mean of each grid cell."""
    return F.avg_pool2d(x, GRID_STRIDE // _FINE)


def _around(x: Tensor, cells: int) -> Tensor:
    """Return the mean over a window of so many grid cells; beyond the edge nothing counts.

    By running sums, whose cost does not grow with the window.
    """
    half = cells // 2
    for axis, pad in ((2, (0, 0, half + 1, half)), (3, (half + 1, half))):
        n = x.shape[axis]
        sums = F.pad(x, pad).cumsum(axis)
        x = sums.narrow(axis, cells, n) - sums.narrow(axis, 0, n)
    return x * _one_over_count(x, cells)


def _one_over_count(x: Tensor, cells: int) -> Tensor:
    """Return one over the number of grid cells in each window, shape (h, w)."""
    counts = []
    for n in x.shape[2:]:
        at = torch.arange(n, device=x.device)
        count = (at + cells // 2).clamp(max=n - 1) - (at - cells // 2).clamp(min=0) + 1
        counts.append(1.0 / count)
    return counts[0][:, None] * counts[1]


def _highest(x: Tensor, cells: int) -> Tensor:
    """Return the maximum over a window of so many grid cells."""
    rows = F.max_pool2d(x, (cells, 1), 1, (cells // 2, 0))
    return F.max_pool2d(rows, (1, cells), 1, (0, cells // 2))


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
