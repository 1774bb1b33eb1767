"""Megapixels a second at 0.5 um/px: decoding alone, the network alone, all together, and others.

A JPEG-tiled pyramid of synthetic tissue is made, odd in size as scanners make them; a session with
a few clicks predicts it as `napari-xce predict` does. All figures of ours count pixels of the
slide, borders read twice not counted; those of other networks count every pixel of their input,
which favours them. Each network is called as a whole-slide run does it: on a processor one input a
core at once, each in a thread of its own. Rounds go by turns, so that what else the machine does
strikes all alike; the median round counts.
"""

from __future__ import annotations

import importlib
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray
from torch import nn

from napari_xce.bench.report import begin
from napari_xce.bench.rivals import InstanSegUNet, PaperUNet
from napari_xce.learning.devices import Device, best_device, compute_alone
from napari_xce.learning.inference import fold_layers
from napari_xce.predictions.block_reader import blocks_of
from napari_xce.predictions.predictor import SlideAtWork
from napari_xce.predictions.tiles import Tile
from napari_xce.session import Session
from napari_xce.slides import open_slide
from napari_xce.slides.cache import shared
from napari_xce.slides.synthetic import SyntheticSlide

PATTERN = 1536  # side of the tissue that is repeated, px
TILE = 512  # of other networks' input
CALLS = 4  # of a network, in a row
#: A filter bank is slow: a part of the slide is enough.
FILTERED = 1024


def measure_throughput(side: int = 8192, rounds: int = 5, seed: int = 0) -> dict[str, Any]:
    """Measure; see the module.

    Parameters
    ----------
    side : int
        Of the slide, roughly; level-0 pixels of 0.5 um.
    rounds : int
        Turns of each measurement.
    seed : int
        Of the tissue.

    Returns
    -------
    dict
        Fit for JSON: the figures of the goals, ratios, and every round's seconds.
    """
    report = begin("throughput")
    threads = torch.get_num_threads()
    torch.set_num_threads(os.cpu_count() or 1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "slide.tif"
            clicks = write_pyramid(path, side, seed)
            with Session.create(Path(folder) / "run.xce", classes=list(clicks)) as session:
                run = _Run(session, path, clicks)
                return {**report, **run.measure(rounds)}
    finally:
        torch.set_num_threads(threads)


def rows_of(report: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return what people want to see of a report."""
    return [
        ("all together: decode, predict, merge, store (MPx/s)", report["end_to_end_mpx_s"]),
        ("network alone (MPx/s)", report["network_mpx_s"]),
        ("decoding alone (MPx/s)", report["decode_mpx_s"]),
        ("UNet of the paper, network alone (MPx/s)", report["paper_unet_mpx_s"]),
        ("InstanSeg's UNet, network alone (MPx/s)", report["instanseg_unet_mpx_s"]),
        ("filter bank of a random forest, without it (MPx/s)", report["filter_bank_mpx_s"]),
        ("random forest on the filter bank (MPx/s)", report["random_forest_mpx_s"]),
        ("all together / network alone", report["end_to_end_of_network"]),
        ("all together / UNet of the paper", report["times_paper_unet"]),
        ("all together / InstanSeg's UNet", report["times_instanseg_unet"]),
        ("precision", report["precision"]),
    ]


def write_pyramid(path: Path, side: int, seed: int) -> dict[str, NDArray[np.float64]]:
    """Write a pyramid of three levels, JPEG tiles of 256; return a few true cells by class."""
    slide = SyntheticSlide((PATTERN, PATTERN), seed=seed)
    pattern = slide.read_level(0, 0, 0, PATTERN, PATTERN)
    times = -(-side // PATTERN)
    pixels = np.tile(pattern, (times, times, 1))[: side - 3, : side - 7]
    form: dict[str, Any] = {
        "tile": (256, 256),
        "compression": "jpeg",
        "compressionargs": {"level": 75},
        "photometric": "rgb",
        "resolutionunit": "CENTIMETER",
    }
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        file.write(pixels, resolution=(2e4, 2e4), **form)
        for level in (1, 2):
            height, width = pixels.shape[0] // 4, pixels.shape[1] // 4
            pixels = pixels[: height * 4, : width * 4].reshape(height, 4, width, 4, 3)
            pixels = pixels.mean((1, 3)).astype(np.uint8)
            file.write(pixels, subfiletype=1, resolution=(2e4 / 4**level,) * 2, **form)
    reach = min(PATTERN, side) - 64
    truth = slide.truth(((64, 64), (reach, reach)))
    return {name: truth.points[truth.labels == name][:8] for name in ("lymphocyte", "tumour")}


class _Run:
    """The measurements on one slide."""

    def __init__(
        self, session: Session, path: Path, clicks: dict[str, NDArray[np.float64]]
    ) -> None:
        self.session = session
        self.id = session.add_slide(open_slide(path))
        for name, points in clicks.items():
            session.annotate(name, points, self.id)
        session.fit(seconds=0)
        self.device = best_device()
        self.tiles = session.stale_tiles(self.id, skip_glass=True)
        self.megapixels = self._size(self.tiles)

    def _size(self, tiles: list[Tile]) -> float:
        """Return the megapixels that tiles own, working pixels."""
        cores = [self.session.predictions[self.id].grid.core(tile) for tile in tiles]
        return sum((y1 - y0) * (x1 - x0) for y0, x0, y1, x1 in cores) / 1e6

    def measure(self, rounds: int) -> dict[str, Any]:
        """Measure all by turns."""
        tasks = self._tasks()
        for task, _ in tasks.values():
            task()  # warm up
        seconds: dict[str, list[float]] = {name: [] for name in tasks}
        for _ in range(rounds):
            for name, (task, _) in tasks.items():
                started = time.perf_counter()
                task()
                self._wait()
                seconds[name].append(time.perf_counter() - started)
        speed = {
            name: round(size / float(np.median(seconds[name])), 3)
            for name, (_, size) in tasks.items()
        }
        speed.setdefault("random_forest_mpx_s", None)  # type: ignore[arg-type]
        whole = speed["end_to_end_mpx_s"]
        return {
            **speed,
            "end_to_end_of_network": round(whole / speed["network_mpx_s"], 3),
            "times_paper_unet": round(whole / speed["paper_unet_mpx_s"], 2),
            "times_instanseg_unet": round(whole / speed["instanseg_unet_mpx_s"], 2),
            "cells": len(self.session.predictions[self.id].detections),
            "precision": "bfloat16" if self.device.bfloat16 else "float32",
            "device": self.device.name,
            "slide": {"shape": list(self.session.slides[self.id].shape), "mpp": 0.5},
            "tissue_megapixels": round(self.megapixels, 2),
            "rounds": rounds,
            "samples_s": {name: [round(x, 4) for x in times] for name, times in seconds.items()},
        }

    def _tasks(self) -> dict[str, tuple[Callable[[], object], float]]:
        """Return what to time, and of how many megapixels each is."""
        block = max(blocks_of(self.tiles), key=len)
        window = self.work.read(*self.work.grid.window(*block).read)
        at_once = self.device.at_once
        batch = at_once if self.device.name == "cuda" else 1
        windows = np.repeat(window[None], batch, 0)
        inputs = self._inputs(batch)
        megapixels = CALLS * at_once * TILE * TILE / 1e6
        paper, instanseg = (_ready(net(), self.device) for net in (PaperUNet, InstanSegUNet))
        owned = self._size(list(block))
        pixels = np.ascontiguousarray(window[:FILTERED, :FILTERED])
        tasks: dict[str, tuple[Callable[[], object], float]] = {
            "end_to_end_mpx_s": (self._end_to_end, self.megapixels),
            "network_mpx_s": (self._busy(lambda: self._network(windows)), CALLS * at_once * owned),
            "decode_mpx_s": (self._decode, self.megapixels),
            "paper_unet_mpx_s": (self._busy(lambda: _call(paper, inputs)), megapixels),
            "instanseg_unet_mpx_s": (self._busy(lambda: _call(instanseg, inputs)), megapixels),
            "filter_bank_mpx_s": (lambda: _filter_bank(pixels), pixels.shape[0] ** 2 / 1e6),
        }
        forest = _forest(pixels)
        if forest is not None:
            tasks["random_forest_mpx_s"] = (forest, pixels.shape[0] ** 2 / 1e6)
        return tasks

    @property
    def work(self) -> SlideAtWork:
        slide, grid = self.session.slides[self.id], self.session.predictions[self.id].grid
        return SlideAtWork(self.id, slide, grid)

    def _busy(self, call: Callable[[], object]) -> Callable[[], object]:
        """Return calls that keep the whole device busy."""

        def calls(_: int = 0) -> None:
            for _ in range(CALLS):
                call()

        def on_every_core() -> None:
            n = self.device.at_once
            with ThreadPoolExecutor(n, initializer=compute_alone) as crew:
                list(crew.map(calls, range(n)))

        return calls if self.device.name == "cuda" else on_every_core

    def _inputs(self, batch: int) -> torch.Tensor:
        """Return noise, (B, 3, TILE, TILE), as networks take it."""
        rgb = np.random.default_rng(0).integers(0, 255, (batch, TILE, TILE, 3), dtype=np.uint8)
        dtype = torch.bfloat16 if self.device.bfloat16 else torch.float32
        return self.device.pixels(rgb).to(dtype)

    def _wait(self) -> None:
        """Wait for what a GPU still has to do."""
        if self.device.name == "cuda":
            torch.cuda.synchronize()

    def _end_to_end(self) -> None:
        """Predict the whole slide anew, its tiles decoded anew."""
        self.session.predictions[self.id].clear()
        shared.clear()  # no decoded tile is at hand
        for _ in self.session.predict_tiles(self.id, self.tiles):
            pass

    def _network(self, windows: NDArray[np.uint8]) -> None:
        live = self.session.live
        live.predictor.look_at(live.model, self.work, windows, with_mask=False)

    def _decode(self) -> None:
        """Read every window as a whole-slide run does."""
        shared.clear()  # no decoded tile is at hand
        for block in blocks_of(self.tiles):
            self.work.read(*self.work.grid.window(*block).read)


def _ready(network: nn.Module, device: Device) -> nn.Module:
    """Give a network what ours has: folded, converted, channels last."""
    network = fold_layers(network.eval()).requires_grad_(False)
    network.to(dtype=torch.bfloat16 if device.bfloat16 else torch.float32)
    return network.to(device.torch, memory_format=torch.channels_last)  # type: ignore[call-overload]


@torch.inference_mode()
def _call(network: nn.Module, inputs: torch.Tensor) -> None:
    network(inputs)


def _filter_bank(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return intensity, edges and texture at four scales, (H, W, F): what forests are fed."""
    from skimage.feature import multiscale_basic_features

    return multiscale_basic_features(rgb, sigma_min=1, sigma_max=8, channel_axis=-1)


def _forest(rgb: NDArray[np.uint8]) -> Callable[[], object] | None:
    """Return a forest of 100 trees at work on its filter bank; None without scikit-learn."""
    try:
        ensemble = importlib.import_module("sklearn.ensemble")  # of the extra "bench"
    except ImportError:
        return None
    features = _filter_bank(rgb).reshape(rgb.shape[0] * rgb.shape[1], -1)
    rows = np.random.default_rng(0).choice(len(features), 2000, replace=False)
    forest = ensemble.RandomForestClassifier(100, n_jobs=-1, max_depth=10, random_state=0)
    forest.fit(features[rows], (features[rows, 0] > np.median(features[rows, 0])).astype(int))
    return lambda: forest.predict_proba(_filter_bank(rgb).reshape(len(features), -1))
