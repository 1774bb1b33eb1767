"""Where to compute, and in which precision: probed once, not guessed from flags."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController
from torch import Tensor, nn

#: Windows of a batch that fills a GPU.
GPU_BATCH = 8


@dataclass(frozen=True, slots=True)
class Device:
    """A torch device and whether bfloat16 is faster there.

    Attributes
    ----------
    name : str
        "cpu", "cuda" or "mps".
    bfloat16 : bool
        Compute in bfloat16.
    """

    name: str
    bfloat16: bool

    @property
    def torch(self) -> torch.device:
        """The torch device."""
        return torch.device(self.name)

    @property
    def at_once(self) -> int:
        """How many windows go through the network at once, where there are many.

        A GPU takes them as one batch. A processor takes one for each thread of torch's: the threads
        need not wait for each other within each layer, which on a busy machine takes longer than
        the layer.
        """
        if self.name == "cuda":
            return GPU_BATCH
        return torch.get_num_threads() if self.name == "cpu" else 1

    def autocast(self) -> contextlib.AbstractContextManager[None]:
        """Return the context in which the network is called."""
        if not self.bfloat16:
            return contextlib.nullcontext()  # not every device can be asked for autocast
        return torch.autocast(self.name, torch.bfloat16)

    def pixels(self, rgb: NDArray[np.uint8]) -> Tensor:
        """Return uint8 (B, H, W, 3) as float 0..1, (B, 3, H, W), channels last, on the device."""
        x = torch.from_numpy(np.ascontiguousarray(rgb)).to(self.torch)
        return x.permute(0, 3, 1, 2).float() / 255.0


@cache
def best_device() -> Device:
    """Choose the device and measure (about 20 ms) whether bfloat16 pays there."""
    name = "cpu"
    if torch.cuda.is_available():
        name = "cuda"
    elif torch.backends.mps.is_available():
        name = "mps"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several would wait for each other on a busy machine
    try:
        return Device(name, _bfloat16_is_faster(torch.device(name)))
    finally:
        torch.set_num_threads(threads)


def compute_alone() -> None:
    """Let torch compute with this very thread, whatever other threads do; called once on it."""
    torch.get_num_threads()  # or torch would set its own number at the first layer
    _libraries().limit(limits=1, user_api="openmp")


@cache
def _libraries() -> ThreadpoolController:
    """Return what sets the threads of the libraries that are loaded; looking takes a while."""
    return ThreadpoolController()


def leave_a_core_free() -> None:
    """Compute on all cores but one, so that a viewer in the same process stays smooth."""
    torch.set_num_threads(max(1, (os.cpu_count() or 2) - 1))


def load_optimizer() -> None:
    """Make an optimizer and drop it: torch loads its compiler with the first one, for a second."""
    torch.optim.AdamW([nn.Parameter(torch.zeros(1))])


@torch.no_grad()
def _bfloat16_is_faster(device: torch.device) -> bool:
    """Time a few convolutions in both precisions; the best of several, for others work too."""
    layers = nn.Sequential(*(nn.Conv2d(64, 64, 3, padding=1) for _ in range(3)))
    layers.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.zeros(1, 64, 64, 64, device=device).contiguous(memory_format=torch.channels_last)
    seconds = {}
    for bfloat16 in (False, True):
        times = []
        for _ in range(6):
            started = time.perf_counter()
            try:
                with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
                    layers(x)[0, 0, 0, 0].item()  # .item() waits for the device
            except RuntimeError:  # a device without bfloat16
                return False
            times.append(time.perf_counter() - started)
        seconds[bfloat16] = min(times)
    return seconds[True] < 0.8 * seconds[False]
