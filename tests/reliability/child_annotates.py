"""The child of test_kills: says all that a user can say, and tells what was acknowledged."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import shapely
from children import acknowledge, serve
from states import state

from napari_xce.annotations import Store

OUTLINE = [(0, 0), (0, 9), (9, 0)]


def act(store: Store, chance: random.Random) -> None:
    """Do one thing that a user does."""
    names = [found.name for found in store.classes()[1:]]
    ids = store.annotations().ids.tolist()
    place = [chance.uniform(0, 900), chance.uniform(0, 900)]
    step = chance.choice(
        ["add"] * 6 + ["reject", "mask", "review", "aside", "move", "move", "relabel", "delete"]
        + ["class", "rename", "drop", "undo", "undo", "redo", "import", "slide", "setting"]
        + ["area", "area", "reshape", "unarea"]
    )  # fmt: skip
    name = chance.choice(names) if names else store.add_class(f"class {store.revision}").name
    some = chance.sample(ids, min(len(ids), 3))
    areas = [area.name for area in store.areas("slide-1")]
    outline = shapely.box(0, 0, *place)
    if step == "add":
        store.add_points("slide-1", name, [place] * chance.randint(1, 3))
    elif step == "reject":
        store.reject("slide-1", [place])
    elif step == "mask":
        store.add_mask("slide-1", name, OUTLINE)
    elif step in ("review", "aside"):
        store.review("slide-1", [(0, 0), (50, 60)], set_aside=step == "aside")
    elif step == "move":
        store.move(some, [place] * len(some))
    elif step == "relabel":
        regions = set(store.annotations().of_kind("region").ids.tolist())
        store.relabel([id_ for id_ in some if id_ not in regions], name)
    elif step == "delete":
        store.delete(some[:1])
    elif step == "class":
        store.add_class(f"class {store.revision}")
    elif step == "rename":
        store.rename_class(name, f"name {store.revision}")
    elif step == "drop":
        store.delete_class(name)
    elif step == "area":
        store.add_areas("slide-1", [None], [outline])
    elif step == "reshape" and areas:
        store.reshape_area("slide-1", areas[0], outline)
    elif step == "unarea" and areas:
        store.delete_area("slide-1", areas[-1])
    elif step in ("undo", "redo"):
        getattr(store, step)()
    elif step == "import":
        with store.together("Import 40 points"):
            added = store.add_class(f"import {store.revision}")
            store.add_points("slide-1", added.name, [place] * 40, provenance="imported")
    elif step == "slide":
        store.update_slide("slide-1", name=f"slide {store.revision}")
    else:
        store.set_setting("view", place)


def work(task: list[str]) -> None:
    """Do what the parent asked for until killed."""
    what, path, seed = task[0], Path(task[1]), int(task[2])
    if what == "annotate":
        chance = random.Random(seed)
        with Store.open(path) as store:
            acknowledge(f"{store.revision} {state(store)}")
            for _ in range(60):
                act(store, chance)
                acknowledge(f"{store.revision} {state(store)}")
    elif what == "create":
        for number in range(60):
            with Store.create(path / f"{number}.sqlite") as store:
                acknowledge(f"{number}.sqlite {state(store)}")
    elif what == "migrate":
        for number in range(20):
            copy = path / f"{number}.sqlite"
            shutil.copyfile(path / "old.sqlite", copy)
            acknowledge(copy.name)
            Store.open(copy).close()


if __name__ == "__main__":
    serve(work)
