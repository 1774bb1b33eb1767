"""Real slides, changed at random: opened or refused in a sentence; no crash, no hang, no flood.

Each is opened in a child process of its own, with a limit on memory and time.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr
from PIL import Image

from .conftest import Nursery

pytestmark = pytest.mark.skipif(os.name != "posix", reason="children are forked")

CHILD = "child_opens.py"
#: Changed copies of each file.
COPIES = 12
SLIDES = [
    "CMU-1-Small-Region.svs",
    "tcga-cr-7395-01a-01-ts1.svs",
    "test3-DAPI-2-(387).ndpi",
    "openslide_crops/OS-1-detail.ome.tif",
    "openslide_crops/OS-2-ndpi.ome.tif",
    "openslide_crops/OS-2-vsi.ome.tif",
]


def directory_places(content: bytes) -> list[int]:
    """Return places of a TIFF that say where and what its pixels are: header and directories."""
    order = "little" if content[:2] == b"II" else "big"
    first = int.from_bytes(content[4:8], order)
    near = range(max(first - 200, 0), min(first + 600, len(content)))
    return [*range(4, 16), *near, *range(max(len(content) - 2000, 0), len(content))]


def changed(content: bytes, chance: random.Random) -> bytes:
    """Return a copy changed in one of five ways."""
    way = chance.randrange(5)
    out = bytearray(content)
    if way == 0:
        return bytes(out[: chance.randrange(len(out))])
    if way == 1:
        start = chance.randrange(len(out))
        out[start : start + 4096] = chance.randbytes(len(out[start : start + 4096]))
        return bytes(out)
    if way == 2:
        return bytes(out[: chance.randrange(4096)]) + chance.randbytes(5000)
    places = directory_places(content) if way == 3 else list(range(len(out)))
    for place in chance.sample(places, min(12, len(places))):
        out[place] = chance.choice([0, 255, 127, chance.randrange(256)])
    return bytes(out)


def answer_to(nursery: Nursery, path: Path) -> str:
    """Let a child open a slide; return its answer, which is "read" or a refusal."""
    lines, status = nursery.raise_child(str(path))
    assert status == 0, f"{path} ended the program with {status}: {lines}"
    (answer,) = lines
    assert answer.startswith(("read", "refused ")), f"{path}: {answer}"
    return answer


@pytest.mark.parametrize("name", SLIDES)
def test_changed_slide_is_read_or_refused_in_a_sentence(
    nursery: Nursery, shared_data: Path, tmp_path: Path, name: str, count: Callable[..., None]
) -> None:
    content = (shared_data / "slides" / name).read_bytes()
    chance = random.Random(name)
    answers = {answer_to(nursery, shared_data / "slides" / name)}
    assert answers == {"read"}  # as it is
    for number in range(COPIES):
        path = tmp_path / f"{number}{Path(name).suffix}"
        path.write_bytes(changed(content, chance))
        answers.add(answer_to(nursery, path))
        path.unlink()
        count("slides fuzzed")
    assert len(answers) > 1


def test_changed_dicom_slide_is_read_or_refused_in_a_sentence(
    nursery: Nursery, shared_data: Path, tmp_path: Path, count: Callable[..., None]
) -> None:
    slide = shared_data / "slides" / "CMU-1-Small-Region-dicom"
    assert answer_to(nursery, slide) == "read"  # as it is
    files = sorted(slide.iterdir())
    chance = random.Random(7)
    for number in range(COPIES):
        folder = tmp_path / str(number)
        folder.mkdir()
        hit = chance.choice(files)
        for file in files:
            content = file.read_bytes()
            (folder / file.name).write_bytes(changed(content, chance) if file == hit else content)
        answer_to(nursery, folder)
        shutil.rmtree(folder)
        count("slides fuzzed")


@pytest.mark.parametrize("kind", ["png", "jpg", "zarr"])
def test_changed_picture_is_read_or_refused_in_a_sentence(
    nursery: Nursery, tmp_path: Path, kind: str, count: Callable[..., None]
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (200, 300, 3), dtype=np.uint8)
    chance = random.Random(kind)
    for number in range(COPIES):
        path = tmp_path / f"{number}.{kind}"
        if kind == "zarr":
            write_zarr(path, pixels)
            victim = chance.choice(sorted(file for file in path.rglob("*") if file.is_file()))
        else:
            Image.fromarray(pixels).save(path)
            victim = path
        if number == 0:
            assert answer_to(nursery, path) == "read"  # as it is
        victim.write_bytes(changed(victim.read_bytes(), chance))
        answer_to(nursery, path)
        count("slides fuzzed")


def write_zarr(path: Path, pixels: np.ndarray) -> None:
    """Write an OME-Zarr of one level."""
    group = zarr.open_group(path, mode="w")
    group.create_array("0", data=pixels, chunks=(100, 100, 3))
    axes = [{"name": name, "type": "space"} for name in "yx"] + [{"name": "c", "type": "channel"}]
    scale = [{"type": "scale", "scale": [1.0, 1.0, 1.0]}]
    levels = [{"path": "0", "coordinateTransformations": scale}]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": levels}]
