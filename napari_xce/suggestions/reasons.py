"""Say in words for the user why a place is worth a look. Pure numpy; any thread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: The two likeliest answers nearer than this are a doubt.
DOUBTFUL = 0.4
#: A class that counts so many times as much as usual has few clicks.
RARE = 1.3


@dataclass(frozen=True, slots=True)
class Look:
    """What is known of a suggested cell.

    Attributes
    ----------
    probabilities : ndarray, float64, shape (C + 1,)
        Of "other" and of each class.
    untaught : bool
        Nothing was clicked yet.
    novel : bool
        It is unlike the cells clicked.
    new_tissue : bool
        Nothing was clicked or shown anywhere near it.
    need : ndarray, float64, shape (C + 1,)
        How much each class counts; more than 1 for those with few clicks.
    """

    probabilities: NDArray[np.float64]
    untaught: bool
    novel: bool
    new_tissue: bool
    need: NDArray[np.float64]


def reason(look: Look, classes: list[str]) -> str:
    """Return why a cell is worth a look.

    Parameters
    ----------
    look : Look
    classes : list of str
        Names, without background.
    """
    if look.untaught:
        return "A typical cell: which class is it?"
    p, names = look.probabilities, ["something else", *classes]
    first, second = np.argsort(-p, kind="stable")[:2]
    if first and look.need[first] >= RARE:
        return f"Perhaps {names[first]}, a class with few clicks so far"
    if p[first] - p[second] < DOUBTFUL:
        return f"Undecided between {names[first]} and {names[second]}"
    if look.new_tissue:
        guess = f"probably {names[first]}" if first else f"probably not {names[second]}"
        return f"Tissue not looked at yet: {guess}"
    if first == 0:
        return (
            "Unlike the cells you clicked: is it one you are looking for?"
            if look.novel
            else f"Probably not {names[second]}: is that right?"
        )
    if look.novel:
        return f"Looks like {names[first]}, but unlike those you clicked"
    return f"Probably {names[first]}: is that right?"
