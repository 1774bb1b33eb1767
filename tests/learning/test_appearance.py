from __future__ import annotations

import pytest
import torch

from napari_xce.learning.appearance import APPEARANCE_SIZE, cell_appearance, optical_density

SIDE = 96


def look(pixels, nucleus=None, size=None):
    grid = torch.zeros(1, 1, SIDE // 4, SIDE // 4)
    nucleus = grid if nucleus is None else nucleus
    density = optical_density(pixels.movedim(1, 3) * 255)
    return cell_appearance(density, nucleus, grid if size is None else size)[0]


def plain(value=0.5):
    return torch.full((1, 3, SIDE, SIDE), value)


def test_every_grid_cell_gets_a_finite_vector():
    torch.manual_seed(0)
    for pixels in (torch.rand(1, 3, SIDE, SIDE), plain(0.0), plain(1.0)):
        found = look(pixels)
        assert found.shape == (APPEARANCE_SIZE, SIDE // 4, SIDE // 4)
        assert found.dtype == torch.float32
        assert torch.isfinite(found).all()


def test_colour_of_a_plain_picture_is_its_optical_density():
    expected = -torch.log(torch.tensor((0.5 * 255 + 1) / 256))
    torch.testing.assert_close(look(plain())[:15], expected.expand(15, SIDE // 4, SIDE // 4))


def test_optical_density_is_the_mean_of_logarithms():
    levels = torch.randint(0, 256, (1, 4, 6, 3), dtype=torch.uint8)
    logs = -torch.log((levels.double() + 1) / 256)
    expected = logs.reshape(1, 2, 2, 3, 2, 3).mean((2, 4)).movedim(3, 1)
    torch.testing.assert_close(optical_density(levels).double(), expected, rtol=1e-5, atol=1e-6)


def test_plain_picture_has_the_same_looks_up_to_its_edges():
    found = look(plain())
    torch.testing.assert_close(found[:, 0, 0], found[:, 12, 12])


def test_stripes_have_grain_and_a_dot_has_none():
    grain = slice(18, 21)
    stripes = plain()
    stripes[:, :, 0::8] = stripes[:, :, 1::8] = stripes[:, :, 2::8] = 0.2
    yy, xx = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    dot = plain()
    dot[:, :, (yy - 48) ** 2 + (xx - 48) ** 2 < 36] = 0.2
    assert look(stripes)[grain, 12, 12].min() > 0.9
    assert look(dot)[grain, 12, 12].max() < 0.3


def test_turned_picture_gives_the_turned_vectors():
    torch.manual_seed(1)
    pixels = torch.rand(1, 3, SIDE, SIDE)
    turned = look(torch.rot90(pixels, 1, (2, 3)))
    torch.testing.assert_close(turned, torch.rot90(look(pixels), 1, (1, 2)), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("window", "row"), [(9, 29), (21, 30)])
def test_neighbours_are_counted(window, row):
    nucleus = torch.zeros(1, 1, SIDE // 4, SIDE // 4)
    nucleus[0, 0, 12, 12] = nucleus[0, 0, 12, 14] = nucleus[0, 0, 2, 2] = 1.0
    expected = 2 if window == 9 else 3
    found = look(plain(), nucleus)[row, 12, 12]
    assert found.item() == pytest.approx(torch.log(torch.tensor(expected + 0.3)).item(), abs=1e-4)


def test_nuclei_around_are_described_by_their_mean_size():
    nucleus, size = (torch.zeros(1, 1, SIDE // 4, SIDE // 4) for _ in range(2))
    nucleus[0, 0, 12, 12] = nucleus[0, 0, 12, 15] = 1.0
    size[0, 0, 12, 12], size[0, 0, 12, 15] = 0.2, 0.6
    assert look(plain(), nucleus, size)[31, 12, 13].item() == pytest.approx(0.4, abs=0.02)
