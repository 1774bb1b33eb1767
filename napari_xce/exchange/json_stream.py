"""Read JSON piece by piece: the items of one long list, of which only one is in memory at a time.

The standard library's decoder does the parsing; here is only the window that it looks through.
It is used rather than a streaming library because QuPath writes NaN, which those refuse.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from typing import Any

CHUNK = 1 << 20  # characters read at a time
_SPACE = " \t\n\r"
_ENDS = (*_SPACE, *",:]}")  # what can follow a value that is whole


def iter_items(
    read: Callable[[int], str], member: str, rest: dict[str, Any] | None = None
) -> Iterator[Any]:
    """Yield the items of a JSON list, whole and one after the other.

    Parameters
    ----------
    read : callable
        Returns at most so many characters of the text, "" at its end.
    member : str
        Where the text is an object, the member that holds the list. An object without that list
        is itself the only item, as is any other single value.
    rest : dict, optional
        Gets the other members of the object.

    Yields
    ------
    Any
        As `json.loads` gives it, but whole numbers are floats.

    Raises
    ------
    json.JSONDecodeError
        The text is not JSON. What comes before the fault was yielded.
    RecursionError
        An item is nested too deeply.
    """
    window = _Window(read)
    first = window.peek()
    if first == "[":
        yield from window.items()
    elif first == "{":
        yield from _members(window, member, {} if rest is None else rest)
    else:
        yield window.value()
    if window.peek():
        raise window.fault("Extra data")


def first_list(read: Callable[[int], str], members: Collection[str]) -> str | None:
    """Return which of these members of an object comes first as a list; None for none.

    Parameters and errors are those of `iter_items`; the list itself is not read.
    """
    window = _Window(read)
    if window.peek() == "{":
        for key in _keys(window):
            if key in members and window.peek() == "[":
                return key
            window.value()
    return None


def _members(window: _Window, wanted: str, rest: dict[str, Any]) -> Iterator[Any]:
    """Go through an object: stream the wanted list, keep the rest as one object."""
    streamed = False
    for key in _keys(window):
        if key == wanted and window.peek() == "[":
            streamed = True
            yield from window.items()
        else:
            rest[key] = window.value()
    if not streamed:
        yield rest


def _keys(window: _Window) -> Iterator[str]:
    """Yield the keys of an object; its value must be taken before the next one."""
    window.take("{")
    if window.peek() == "}":
        window.take("}")
        return
    while True:
        if window.peek() != '"':
            raise window.fault("Expecting property name enclosed in double quotes")
        key = window.value()
        window.take(":")
        yield key
        if window.peek() != ",":
            break
        window.take(",")
    window.take("}")


class _Window:
    """The part of the text that is in memory, and where in it we are."""

    def __init__(self, read: Callable[[int], str]) -> None:
        self._read = read
        self._text = ""
        self._at = 0
        self._ended = False
        self._decode = json.JSONDecoder(parse_int=float).raw_decode

    def peek(self) -> str:
        """Return the next character that is no space, "" at the end."""
        while True:
            text, at = self._text, self._at
            while at < len(text) and text[at] in _SPACE:
                at += 1
            self._at = at
            if at < len(text):
                return text[at]
            if not self._more(CHUNK):
                return ""

    def take(self, sign: str) -> None:
        """Go past a sign, or refuse what stands in its place."""
        if self.peek() != sign:
            raise self.fault(f"Expecting {sign!r}")
        self._at += 1

    def items(self) -> Iterator[Any]:
        """Yield the items of the list that begins here."""
        self.take("[")
        if self.peek() == "]":
            self.take("]")
            return
        while True:
            yield self.value()
            if self.peek() != ",":
                break
            self.take(",")
        self.take("]")

    def value(self) -> Any:
        """Return the value that begins here, read on until it is whole."""
        self.peek()
        size = CHUNK
        while True:
            try:
                found, end = self._decode(self._text, self._at)
            except json.JSONDecodeError:
                if not self._more(size):
                    raise
            else:
                # a number cut by the window's end, "1" of "1.5", decodes, too
                if self._text[end : end + 1] in _ENDS or not self._more(size):
                    self._at = end
                    return found
            size *= 2  # so that a long value is not begun too often

    def fault(self, words: str) -> json.JSONDecodeError:
        """Return the error for what stands here."""
        return json.JSONDecodeError(words, self._text, self._at)

    def _more(self, size: int) -> bool:
        """Read on; let go of what lies behind. Return False at the end of the text."""
        if self._ended:
            return False
        more = self._read(size)
        self._ended = not more
        self._text = self._text[self._at :] + more
        self._at = 0
        return bool(more)
