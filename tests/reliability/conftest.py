"""What the tests of what is promised share: their counts, told at the end, and a nursery."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
_COUNTS: Counter[str] = Counter()


@pytest.fixture
def count() -> Callable[[str, int], None]:
    """Return what counts something survived, by its words; the sums are told after the run."""

    def add(what: str, number: int = 1) -> None:
        _COUNTS[what] += number

    return add


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell the sums: the figures of docs/reliability.md."""
    for what, number in sorted(_COUNTS.items()):
        terminalreporter.write_line(f"reliability: {number:,} {what}")


def answer_or_refusal(call: Callable[[], Any], refusal: type[Exception]) -> tuple[Any, str | None]:
    """Return what a call answers, or the sentence with which it refuses; all else is a fault."""
    try:
        return call(), None
    except refusal as error:
        return None, str(error)


class Nursery:
    """A program that has loaded what its children need, and forks one for each line it is given.

    A child writes a line for each action once it is acknowledged; the lines come back by one pipe.
    """

    def __init__(self, script: str, *arguments: object) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / script), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env=environment,
        )

    def raise_and_kill(
        self, task: str, after: int, wait: Callable[[], None]
    ) -> tuple[list[str], bool]:
        """Fork a child, kill it after so many lines and a wait; return its lines.

        The second value tells whether it was killed, not done before.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(task + "\n")
        child = int(self._line().removeprefix("child "))
        lines: list[str] = []
        while len(lines) < after and not (line := self._line()).startswith("gone "):
            lines.append(line)
        else:
            if len(lines) < after:  # it was done before
                return lines, line == f"gone {signal.SIGKILL}"
        wait()
        os.kill(child, signal.SIGKILL)
        while not (line := self._line()).startswith("gone "):
            lines.append(line)
        return lines, line == f"gone {signal.SIGKILL}"

    def raise_child(self, task: str) -> tuple[list[str], int]:
        """Fork a child and let it end; return its lines and the signal that ended it, else 0."""
        assert self._process.stdin is not None
        self._process.stdin.write(task + "\n")
        lines = [self._line()]
        while not lines[-1].startswith("gone "):
            lines.append(self._line())
        return lines[1:-1], int(lines[-1].removeprefix("gone "))

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line.endswith("\n"), "the nursery died"
        return line.rstrip("\n")

    def close(self) -> None:
        """End the nursery."""
        self._process.communicate()


@pytest.fixture(scope="module")
def nursery(request: pytest.FixtureRequest) -> Iterator[Nursery]:
    """Return a nursery for the script that the module names."""
    made = Nursery(request.module.CHILD)
    yield made
    made.close()


@pytest.fixture
def as_ordinary_user() -> Iterator[Callable[[], None]]:
    """Return what gives up root's right to write everywhere, which containers run tests with."""
    root = os.name == "posix" and os.geteuid() == 0
    yield (lambda: os.seteuid(65534)) if root else (lambda: None)
    if root:
        os.seteuid(0)
