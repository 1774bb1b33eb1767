"""The child of test_kills_while_learning: it annotates, learns, promotes, saves and exports."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from children import acknowledge, serve

from napari_xce.learning.trainer import Trainer
from napari_xce.predictions import fine_tuning
from napari_xce.session import Session


def work(task: list[str]) -> None:
    """Go round and round until killed."""
    path, seed = Path(task[0]), int(task[1])
    exports = path.parent / "exports"
    with Session.open(path) as session:
        for number in range(100):
            place = [40.0 + (37 * number + seed) % 220, 40.0 + (53 * number + seed) % 220]
            acknowledge(f"said {session.annotate('cell', [place])[0]}")
            acknowledge(f"learnt {session.fit(seconds=0.01).promoted}")
            session.predict(region=((0, 0), (100, 100)))
            session.save()
            acknowledge("saved")
            for name in ("cells.geojson", "cells.csv", "model.safetensors", "mask.ome.tif"):
                session.export(exports / name)
                acknowledge(f"exported {name}")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    fine_tuning.STEPS_PER_TRIAL = 1  # a promotion in each round
    Trainer.compare = lambda self: (True, "better")
    serve(work)
