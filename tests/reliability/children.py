"""Fork a child for each line of the input; its lines and how it ended go into one pipe."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable


def acknowledge(words: str) -> None:
    """Tell the parent, in one write, that something is done."""
    os.write(1, f"{words}\n".encode())


def serve(work: Callable[[list[str]], None]) -> None:
    """Do the work of each line in a child of its own."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            acknowledge(f"child {os.getpid()}")
            try:
                work(line.split())
            except BaseException as error:  # noqa: BLE001 whatever it is, the parent is told
                acknowledge(f"failed {type(error).__name__}: {error}")
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        acknowledge(f"gone {os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0}")
