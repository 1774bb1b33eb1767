"""The file of measured cells: one JSON line each, appended when a cell is done."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class RowFile:
    """Rows on disk; whatever kills the program costs at most the line being written.

    Attributes
    ----------
    path : Path
        Ends in ``.jsonl``; need not exist.
    """

    path: Path

    def read(self) -> list[dict[str, Any]]:
        """Return all rows; a last line that was cut off is passed over."""
        if not self.path.exists():
            return []
        whole = self.path.read_bytes().split(b"\n")[:-1]
        return [json.loads(line) for line in whole]

    def append(self, row: dict[str, Any]) -> None:
        """Write a row and see it to the disk; a line that was cut off before is dropped."""
        with self.path.open("a+b") as file:
            file.truncate(self._end_of_last_line())
            file.write(json.dumps(row).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def _end_of_last_line(self) -> int:
        """Return the size of the file without a line that was cut off."""
        size = self.path.stat().st_size
        with self.path.open("rb") as file:
            if size:
                file.seek(size - 1)
                if file.read() != b"\n":
                    file.seek(0)
                    return file.read().rfind(b"\n") + 1
        return size
