"""What a model's card must say before its model is believed: the file may come from anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from napari_xce.annotations.classes import clean_name
from napari_xce.errors import SessionError

_MOST_CLASSES, _LONGEST_NAME, _LARGEST = 1000, 200, 2**53


def check_card(card: Mapping[str, Any]) -> None:
    """Refuse a card whose entries are not of their kind.

    Raises
    ------
    ValueError
        An entry is missing, of another type, or out of its range.
    """
    classes = card.get("classes")
    if not isinstance(classes, list) or len(classes) > _MOST_CLASSES:
        raise ValueError("classes")
    if len({_checked_name(name).casefold() for name in classes}) < len(classes):
        raise ValueError("two classes of one name")
    _check_members(card, len(classes))
    calibrated = card.get("calibrated", {})
    if not isinstance(calibrated, dict) or not all(map(_is_number, calibrated.values())):
        raise ValueError("calibrated")
    revision = card.get("revision", 0)
    if not _is_number(revision) or revision < 0:
        raise ValueError("revision")
    if not isinstance(card.get("class_numbers", []), list):
        raise ValueError("class_numbers")


def check_layers(card: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Refuse layers that have not one row for "other" and one for each class of their kind.

    Raises
    ------
    ValueError
        A shape is another, or a weight is not finite.
    """
    for members, kind in (("proposed", "kind"), ("dense", "dense")):
        rows = len(card[members]) + 1
        weight, bias = tensors[f"layers.{kind}_weight"], tensors[f"layers.{kind}_bias"]
        if weight.dim() != 2 or weight.shape[0] != rows or bias.shape != (rows,):
            raise ValueError(f"{kind} layers")
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise ValueError(f"{name} is not finite")


def _checked_name(name: Any) -> str:
    """Return a class name, or refuse what is none."""
    try:
        cleaned = clean_name(name)
    except SessionError as error:
        raise ValueError(str(error)) from error
    if cleaned != name or len(name) > _LONGEST_NAME:
        raise ValueError("the name of a class")
    return cleaned


def _check_members(card: Mapping[str, Any], count: int) -> None:
    """Refuse numbers of classes that there are not, or that stand in both lists."""
    members = [card.get("proposed"), card.get("dense")]
    if not all(isinstance(numbers, list) for numbers in members):
        raise ValueError("proposed and dense")
    numbers = [number for part in members for number in part]  # type: ignore[union-attr]
    if not all(isinstance(number, int) and 0 <= number < count for number in numbers):
        raise ValueError("proposed and dense")
    if len(set(numbers)) < len(numbers):
        raise ValueError("a class is proposed and dense")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < _LARGEST  # not True of NaN either
