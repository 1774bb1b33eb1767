"""Many slides on a real cluster of processes: the same cells, also when a worker is killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from napari_xce.cohort import connect, predict_cohort
from napari_xce.errors import SessionError, XceError, XceWarning
from napari_xce.session import Session
from napari_xce.slides import open_slide
from napari_xce.slides.synthetic import SyntheticSlide

pytest.importorskip("distributed")
TIFF = pytest.importorskip("tifffile")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two slides, a model, and the cells that one process finds."""
    folder = tmp_path_factory.mktemp("cohort")
    for number in (1, 2):
        pixels = SyntheticSlide((600, 1400), seed=number).read_level(0, 0, 0, 600, 1400)
        TIFF.imwrite(
            folder / f"slide-{number}.tif",
            pixels,
            tile=(256, 256),
            photometric="rgb",
            resolution=(2e4, 2e4),
            resolutionunit="CENTIMETER",
        )
    with Session.create(folder / "case.xce", classes=["tumour"]) as session:
        id = session.add_slide(open_slide(folder / "slide-1.tif"))
        truth = SyntheticSlide((600, 1400), seed=1).truth(((32, 32), (560, 900)))
        session.annotate("tumour", truth.points[truth.labels == "tumour"][:6])
        session.fit(seconds=0)
        session.export(folder / "model.safetensors")
        session.predict(id)
        session.export(folder / "alone.csv", id)
    return folder


def _slides(folder: Path) -> list[Path]:
    return [folder / "slide-1.tif", folder / "slide-2.tif"]


def _same_cells(one: Path, other: Path) -> None:
    a, b = (pd.read_csv(file).select_dtypes("number") for file in (one, other))
    assert len(a) == len(b) > 10
    columns = [c for c in a.columns if c in b.columns and "id" not in c.lower()]
    a, b = (t[columns].sort_values(columns).to_numpy() for t in (a, b))
    np.testing.assert_allclose(a, b, atol=0.02)


def test_killed_worker_costs_time_only_and_cells_are_those_of_one_process(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_xce.cohort.BLOCKS_PER_TASK", 1)
    with connect(None, workers=2) as client:
        runs = predict_cohort(_slides(folder), folder / "model.safetensors", tmp_path, client)
        first = next(runs)
        victim = next(iter(client.run(os.getpid).values()))
        os.kill(victim, getattr(signal, "SIGKILL", signal.SIGTERM))
        done = [first, *runs]
        client.cluster.close()
    assert [file.name for _, file, _ in done] == ["slide-1.csv", "slide-2.csv"]
    assert all(counts["tumour"] > 10 for _, _, counts in done)
    _same_cells(folder / "alone.csv", tmp_path / "slide-1.csv")


def test_what_is_written_is_not_predicted_again(folder: Path, tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"slide-{number}.csv").write_text("there")
    assert not list(predict_cohort(_slides(folder), folder / "model.safetensors", tmp_path, None))


def test_slide_that_cannot_be_read_is_left_out(folder: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.tif"
    bad.write_bytes(b"no slide")
    with pytest.warns(XceWarning, match="bad.tif is left out"):
        assert not list(predict_cohort([bad], folder / "model.safetensors", tmp_path, None))


def test_slides_of_one_name_are_refused(folder: Path, tmp_path: Path) -> None:
    twins = [folder / "slide-1.tif", tmp_path / "slide-1.tif"]
    with pytest.raises(SessionError, match="slide-1"):
        list(predict_cohort(twins, folder / "model.safetensors", tmp_path, None))


def test_scheduler_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import dask

    soon = dask.config.set({"distributed.comm.timeouts.connect": "200ms"})
    with soon, pytest.raises(XceError, match="cannot be reached"):
        connect("tcp://127.0.0.1:9", None)
