"""Write the stored session of the present schema beside this file: run it once, with each new step.

    python tests/annotations/sessions/write.py

A session of a released schema is never written again.
"""

from __future__ import annotations

from pathlib import Path

import shapely

from napari_xce.annotations import Store
from napari_xce.annotations.migrations import MIGRATIONS


def write(path: Path) -> None:
    """Write a session that says a little of everything, and ends with something to redo."""
    with Store.create(path) as store:
        slide = store.add_slide(
            "a.svs", "/data/a.svs", "f1", (1000, 2000), (0.25, 0.5), "file (aperio.MPP)", 24.0
        )
        store.set_setting("head", "yollo")
        store.add_class("lymphocyte")
        store.add_class("tumour", "#ff0000")
        first, _ = store.add_points(slide, "lymphocyte", [[10.5, 20], [30, 40]])
        store.move([first], [[10.25, 20]])
        store.reject(slide, [[50, 60]])
        store.add_mask(slide, "tumour", [(0, 0), (0, 3), (3, 0)])
        store.review(slide, [(0, 0), (100, 200)], set_aside=True)
        store.add_areas(slide, ["hot"], [shapely.box(10, 20, 30, 40.5)])
        store.delete_class("tumour")
        store.undo()
    path.with_name(path.name + ".lock").unlink()


if __name__ == "__main__":
    write(Path(__file__).with_name(f"v{MIGRATIONS[-1].version}.sqlite"))
