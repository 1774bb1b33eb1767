"""Real slides, changed at random: opened or refused in a sentence; no crash, no hang, no flood.

Each is opened in a child process of its own, with a limit on memory and time.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

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
        return bytes(out[: chance.randrange(8, 4096)]) + chance.randbytes(5000)
    places = directory_places(content) if way == 3 else range(len(out))
    for place in chance.sample(places, 12):
        out[place] = chance.choice([0, 255, 127, chance.randrange(256)])
    return bytes(out)


@pytest.mark.parametrize("name", SLIDES)
def test_changed_slide_is_read_or_refused_in_a_sentence(
    nursery: Nursery, shared_data: Path, tmp_path: Path, name: str, count: Callable[..., None]
) -> None:
    content = (shared_data / "slides" / name).read_bytes()
    chance = random.Random(name)
    answers = []
    for number in range(COPIES):
        path = tmp_path / f"{number}{Path(name).suffix}"
        path.write_bytes(changed(content, chance))
        lines, status = nursery.raise_child(str(path))
        assert status == 0, f"copy {number} ended the program with {status}: {lines}"
        (answer,) = lines
        assert answer.startswith(("read", "refused ")), f"copy {number}: {answer}"
        answers.append(answer)
        path.unlink()
        count("slides fuzzed")
    assert len(set(answers)) > 1
