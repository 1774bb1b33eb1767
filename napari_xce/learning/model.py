"""The model of a session: the shipped parts, some of them fine-tuned, and the session's classes.

Scores are composed, not learnt from nothing. For a class of cells that the trunk proposes, the
probability at a place is (a nucleus is here) x (nuclei like this are of the class); for a class
the trunk does not propose it is read from the grid features directly ("dense"). The heads add a
correction to the logits of that answer, which background training finds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from napari_xce.errors import ModelError
from napari_xce.learning.appearance import cell_appearance, optical_density
from napari_xce.learning.card import check_card, check_layers
from napari_xce.learning.click_learner import ClickModel
from napari_xce.learning.heads import (
    CELL_SIZE,
    KIND_SIZE,
    MaskDecoder,
    Proposals,
    Proposer,
    UNetHead,
    YolloHead,
)
from napari_xce.learning.shipped import ShippedModel
from napari_xce.learning.trunk import Features, Trunk, double

Head = Literal["yollo", "unet"]
#: Classes of cells that the trunk proposes, and those that are read from the grid.
Kind = Literal["proposed", "dense"]
#: Objectness logit to log-odds that a proposal is a nucleus: fitted on the training patients.
OBJECTNESS_SLOPE, OBJECTNESS_SHIFT = 2.6, 1.1
FORMAT = "napari-xce model 2"
_FLOOR = 1e-4


class Tiles(NamedTuple):
    """What the network says of a batch of tiles before any class is asked for.

    Attributes
    ----------
    proposals : Proposals
        Of nuclei of any kind, on the grid.
    appearance : Tensor, float32, shape (B, APPEARANCE_SIZE, h, w)
        How each grid cell looks (`cell_appearance`).
    grid : Tensor, float, shape (B, GRID_CHANNELS, h, w)
        The trunk's features of it.
    mask_features : Tensor, float32, shape (B, MASK_CHANNELS, 2h, 2w), or None
        Only when a mask was asked for.
    nucleus : Tensor, float32, shape (B, 1, 2h, 2w), or None
        Logit that a pixel at stride 2 is nucleus.
    """

    proposals: Proposals
    appearance: Tensor
    grid: Tensor
    mask_features: Tensor | None
    nucleus: Tensor | None

    @property
    def cells(self) -> Tensor:
        """Vector of each grid cell, float32, shape (B, CELL_SIZE, h, w); joined at every call."""
        parts = (self.proposals.embedding.float(), self.appearance, self.grid.float())
        return torch.cat(parts, 1)

    def vectors(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Return the vectors of some grid cells of the first tile, float32, (N, CELL_SIZE)."""
        parts = (self.proposals.embedding, self.appearance, self.grid)
        return torch.cat([part[0][:, rows, columns].float() for part in parts]).T


@dataclass
class ClassLayers:
    """The click learner's answer as tensors.

    Attributes
    ----------
    kind_weight, kind_bias : Tensor, float32, (P + 1, KIND_SIZE), (P + 1,)
        "Other" and the P proposed classes, on embedding and appearance.
    dense_weight, dense_bias : Tensor, float32, (D + 1, CELL_SIZE), (D + 1,)
        "Other" and the D dense classes, on cell vectors.
    proposed, dense : list of int
        Which of the model's classes (from 0) the rows 1.. stand for; a class without any click
        is in neither and scores 0.
    """

    kind_weight: Tensor = field(default_factory=lambda: torch.zeros(1, KIND_SIZE))
    kind_bias: Tensor = field(default_factory=lambda: torch.zeros(1))
    dense_weight: Tensor = field(default_factory=lambda: torch.zeros(1, CELL_SIZE))
    dense_bias: Tensor = field(default_factory=lambda: torch.zeros(1))
    proposed: list[int] = field(default_factory=list)
    dense: list[int] = field(default_factory=list)

    def set(self, kind: Kind, classes: list[int], fit: ClickModel | None) -> None:
        """Take over a fit of the classes of one kind; None where there are none."""
        if kind == "proposed":
            self.proposed = classes
            self.kind_weight, self.kind_bias = _as_tensors(fit, KIND_SIZE)
        else:
            self.dense = classes
            self.dense_weight, self.dense_bias = _as_tensors(fit, CELL_SIZE)


def _as_tensors(fit: ClickModel | None, size: int) -> tuple[Tensor, Tensor]:
    """Return weight and bias of a fit, or of none."""
    if fit is None:
        return torch.zeros(1, size), torch.zeros(1)
    weight, bias = fit.affine()
    return torch.from_numpy(weight).float(), torch.from_numpy(bias).float()


class CellModel(nn.Module):
    """Score a session's classes.

    Parameters
    ----------
    classes : list of str
        Names, without background.
    head : {"yollo", "unet"}
        Detection or segmentation.
    """

    def __init__(self, classes: list[str], head: Head = "yollo") -> None:
        super().__init__()
        if head not in get_args(Head):
            raise ModelError(f'The head must be "yollo" or "unet", not {head!r}.')
        self.classes = list(classes)
        self.head: Head = head
        self.trunk = Trunk()
        self.proposer = Proposer()
        self.mask = MaskDecoder()
        self.yollo = YolloHead(len(classes))
        self.unet = UNetHead(len(classes))
        self.layers = ClassLayers()

    @classmethod
    def from_shipped(cls, classes: list[str], head: Head = "yollo") -> CellModel:
        """Begin with the weights in the package."""
        model = cls(classes, head)
        shipped = ShippedModel.load()
        model.trunk, model.proposer, model.mask = shipped.trunk, shipped.proposer, shipped.mask
        return model.eval()

    def reset_heads(self) -> None:
        """Let the heads say again exactly what the click learner says."""
        device = next(self.parameters()).device
        self.yollo = YolloHead(len(self.classes)).to(device).eval().requires_grad_(False)
        self.unet = UNetHead(len(self.classes)).to(device).eval().requires_grad_(False)

    def forward(self, pixels: Tensor, with_mask: bool = False) -> Tiles:
        """Look at pixels, float 0..1, shape (B, 3, H, W), H and W multiples of 16."""
        density = optical_density(pixels.movedim(1, 3) * 255.0)
        mask = self.mask if with_mask else None
        return describe(self.trunk(pixels), self.proposer, mask, density)

    def grid_logits(self, tiles: Tiles, corrected: bool = True) -> Tensor:
        """Return log-probabilities-to-be of background and classes, (B, C + 1, h, w)."""
        nucleus = object_probability(tiles.proposals.objectness)
        composed = _combine(nucleus * self._kinds(tiles) + self._dense(tiles))
        if not corrected or _says_nothing(self.yollo):
            return composed
        return composed + self.yollo(tiles.cells)

    def pixel_logits(self, tiles: Tiles, corrected: bool = True) -> Tensor:
        """Return the same for pixels at stride 2, (B, C + 1, 2h, 2w); needs a mask."""
        assert tiles.nucleus is not None
        assert tiles.mask_features is not None
        kinds, dense = self._kinds(tiles), self._dense(tiles)
        composed = _combine(torch.sigmoid(tiles.nucleus) * double(kinds) + double(dense))
        if not corrected or _says_nothing(self.unet):
            return composed
        return composed + self.unet(tiles.mask_features, tiles.cells)

    def _kinds(self, tiles: Tiles) -> Tensor:
        """Return the probability of each proposed class, given a nucleus; others 0."""
        layers, parts = self.layers, (tiles.proposals.embedding, tiles.appearance)
        return self._of(layers.proposed, parts, layers.kind_weight, layers.kind_bias)

    def _dense(self, tiles: Tiles) -> Tensor:
        """Return the probability of each dense class; others 0."""
        layers, parts = self.layers, (tiles.proposals.embedding, tiles.appearance, tiles.grid)
        return self._of(layers.dense, parts, layers.dense_weight, layers.dense_bias)

    def _of(
        self, members: list[int], parts: Sequence[Tensor], weight: Tensor, bias: Tensor
    ) -> Tensor:
        """Return the probabilities of some classes from parts of cell vectors; others 0."""
        like = parts[0]
        shape = (like.shape[0], len(self.classes), *like.shape[2:])
        out = torch.zeros(shape, device=like.device)
        if members:
            out[:, members] = _linear(parts, weight, bias).softmax(1)[:, 1:]
        return out

    def save(self, path: Path, card: Mapping[str, Any]) -> None:
        """Write weights (safetensors) and, beside them, the card (``.json``), each at once.

        Parameters
        ----------
        path : Path
            Ends in ``.safetensors``.
        card : mapping
            What a reader should know; classes, head and format are added.

        Raises
        ------
        ModelError
            The files cannot be written; what was there is kept.
        """
        meta = {
            "format": FORMAT,
            "classes": self.classes,
            "head": self.head,
            "proposed": self.layers.proposed,
            "dense": self.layers.dense,
            **card,
        }
        tensors = {k: v.detach().cpu().contiguous() for k, v in self.state_dict().items()}
        for name in _LAYER_TENSORS:
            tensors[f"layers.{name}"] = getattr(self.layers, name).cpu().contiguous()
        card_path = path.with_suffix(".json")
        parts = [p.with_name(p.name + ".part") for p in (path, card_path)]
        try:
            # not save_file, which lets nobody but the owner read the file
            _write(parts[0], to_bytes(tensors, {"card": json.dumps(meta)}))
            _write(parts[1], (json.dumps(meta, indent=2) + "\n").encode())
            parts[0].replace(path)
            parts[1].replace(card_path)
        except (OSError, SafetensorError) as error:
            for part in parts:
                part.unlink(missing_ok=True)
            raise ModelError(
                f"The model cannot be written to {path} ({error}). Make room, or choose another "
                "folder."
            ) from error

    @classmethod
    def load(cls, path: Path) -> tuple[CellModel, dict[str, Any]]:
        """Read a model and its card.

        Raises
        ------
        ModelError
            The file is missing, damaged, or not a model of napari-xce.
        """
        try:
            with safe_open(path, "pt") as file:
                card = json.loads((file.metadata() or {}).get("card", "{}"))
                tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
            if not isinstance(card, dict) or card.get("format") != FORMAT:
                raise ModelError(f"{path.name} is not a model of napari-xce (or of a newer one).")
            check_card(card)
            check_layers(card, tensors)
            if card.get("head") not in get_args(Head):
                raise ValueError("head")
            model = cls(card["classes"], card["head"])
            layers = {name: tensors.pop(f"layers.{name}") for name in _LAYER_TENSORS}
            model.layers = ClassLayers(**layers, proposed=card["proposed"], dense=card["dense"])
            model.load_state_dict(tensors)
        except (OSError, SafetensorError, RuntimeError, KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"The model {path.name} cannot be read ({type(error).__name__}): it is missing or "
                "damaged. Choose another file, or learn again from the clicks."
            ) from error
        return model.eval(), card


_LAYER_TENSORS = ("kind_weight", "kind_bias", "dense_weight", "dense_bias")


def describe(
    features: Features, proposer: nn.Module, mask: nn.Module | None, density: Tensor
) -> Tiles:
    """Say what there is in a picture.

    Parameters
    ----------
    features : Features
        What the trunk says.
    proposer : Module
    mask : Module or None
        Only where a mask is wanted.
    density : Tensor
        `optical_density` of the same pixels.
    """
    *box, embedding = proposer(features)
    # one plane after the other, as they are gone through
    objectness, offset, size = (part.float().contiguous() for part in box)
    proposals = Proposals(objectness, offset, size, embedding)
    nucleus = object_probability(proposals.objectness)
    appearance = cell_appearance(density, nucleus, proposals.size)
    if mask is None:
        return Tiles(proposals, appearance, features.grid, None, None)
    mask_features, logit = mask(features)
    return Tiles(proposals, appearance, features.grid, mask_features.float(), logit.float())


def _says_nothing(head: YolloHead | UNetHead) -> bool:
    """Tell whether a head adds nothing, as before any training; training itself must call it."""
    return not torch.is_grad_enabled() and head.adds_nothing


def _write(path: Path, content: bytes) -> None:
    """Write a file to the disk itself, so that the renaming after it cannot overtake it."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def object_probability(objectness: Tensor) -> Tensor:
    """Return the probability that a proposal with this logit is a nucleus (Platt scaling)."""
    return torch.sigmoid(OBJECTNESS_SLOPE * objectness + OBJECTNESS_SHIFT)


def _linear(parts: Sequence[Tensor], weight: Tensor, bias: Tensor) -> Tensor:
    """Apply an affine map to the channels of several (B, D, h, w), as if they were joined."""
    device = parts[0].device
    weights = weight.to(device).split([part.shape[1] for part in parts], 1)
    out = bias.to(device)[:, None, None]
    for w, x in zip(weights, parts, strict=True):
        out = out + torch.einsum("kd,bdhw->bkhw", w, x.float())
    return out


def _combine(foreground: Tensor) -> Tensor:
    """Return logs of background and class probabilities that sum to one, (B, C + 1, h, w)."""
    total = foreground.sum(1, keepdim=True)
    foreground = foreground / total.clamp(min=1.0)
    background = 1.0 - foreground.sum(1, keepdim=True)
    return torch.cat([background, foreground], 1).clamp(_FLOOR, 1.0).log()
