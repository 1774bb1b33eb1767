"""Speed 3 of the design: a copy of the model that is fine-tuned in the background, and judged.

Each method is a short piece of work: one crop, one step, one comparison. Nothing here changes the
model that answers; whether the copy takes its place is decided by who owns the two
(`LiveModel.try_promotion`). One thread at a time.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

from napari_xce.learning.devices import Device
from napari_xce.learning.model import CellModel, ClassLayers
from napari_xce.learning.trainer import Comparison, CropExample, Trainer

#: Steps after which a fine-tuned copy is judged.
STEPS_PER_TRIAL = 120


class FineTuning:
    """Train a copy of a model, from its first crop to its trial.

    Parameters
    ----------
    device : Device
        Where to compute.

    Attributes
    ----------
    rests_at : str
        A hash of what was said; while just that stands there is no training, as it would come to
        the same as what was taken back.
    """

    def __init__(self, device: Device) -> None:
        self.rests_at = ""
        self._device = device
        self._trainer: Trainer | None = None
        self._cutting: Iterator[CropExample] | None = None  # crops for the next copy
        self._cut: list[CropExample] = []

    def begin_anew(self) -> None:
        """Forget the copy and its crops: they are of something else than what stands."""
        self._trainer = self._cutting = None

    def cut_anew(self) -> None:
        """Cut the crops anew where there is no copy yet: there may be classes to train now."""
        if self._trainer is None:
            self._cutting = None

    @property
    def has_begun(self) -> bool:
        """Whether there is a copy."""
        return self._trainer is not None

    def prepare(
        self,
        cut: Callable[[], Iterator[CropExample]],
        begin_with: Callable[[], CellModel],
        seed: int,
    ) -> bool:
        """Cut one crop, or make the copy; False if neither can be done.

        Parameters
        ----------
        cut : callable
            Returns the crops to learn on, which are taken one by one.
        begin_with : callable
            Returns the model to copy, once all crops are there. The copy is judged against it.
        seed : int
            Of the order of crops.
        """
        if self._trainer is not None:
            return False
        if self._cutting is None:
            self._cutting, self._cut = cut(), []
        crop = next(self._cutting, None)
        if crop is not None:
            self._cut.append(crop)
            return True
        if self._cut:
            self._trainer = Trainer(begin_with(), self._cut, self._device, seed=seed)
        return self._trainer is not None

    def step(self) -> float | None:
        """Take a step and return its loss; None where there is nothing (more) to gain."""
        if self._trainer is None or self._trainer.has_settled:
            return None
        return self._trainer.step()

    def step_some(self) -> bool:
        """Do a piece of the next step ahead of `step`; False if only its last is left."""
        trainer = self._trainer
        return trainer is not None and not trainer.has_settled and trainer.step_some()

    @property
    def trial_is_due(self) -> bool:
        """Whether the copy has trained long enough to be judged."""
        steps = self._trainer.steps if self._trainer is not None else 0
        return steps > 0 and steps % STEPS_PER_TRIAL == 0

    def judge_some(self) -> bool:
        """Judge the copy at one more crop, ahead of `compare`; False if none is left."""
        return self._trainer is not None and self._trainer.judge_some()

    def compare(self) -> Comparison:
        """Tell whether the copy has become better than what it began with."""
        assert self._trainer is not None
        return self._trainer.compare()

    def release(self, layers: ClassLayers) -> CellModel:
        """Return the copy, ready to answer.

        Parameters
        ----------
        layers : ClassLayers
            What it is to know of the classes: its own leave out the held-out clicks.
        """
        assert self._trainer is not None
        trained = self._trainer.model.requires_grad_(False)
        trained.layers = copy.deepcopy(layers)
        return trained
