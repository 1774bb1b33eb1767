"""Open JSON files of other programs, packed or not, and say in words what is wrong with them."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_xce.errors import ExchangeError
from napari_xce.exchange.sentences import naming
from napari_xce.exchange.stopping import ask_stop, tell_share

LARGEST = 16 << 30  # bytes of text, unpacked; a million cells with all of QuPath's measurements


@contextmanager
def sentences(path: Path | str) -> Iterator[None]:
    """Turn what can go wrong while a file is read into sentences that name it."""
    with naming(path):
        try:
            yield
        except RecursionError:
            raise ExchangeError("it is nested too deeply. Export it again.") from None
        except UnicodeDecodeError:
            raise ExchangeError("it is not UTF-8 text. Export it again.") from None
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise ExchangeError(
                "its compression is damaged. Copy it again, or export it again."
            ) from None
        except ValueError as error:
            raise ExchangeError(f"it is not valid JSON ({error}). Export it again.") from None


@contextmanager
def open_text(path: Path) -> Iterator[Callable[[int], str]]:
    """Give a function that reads the file's text on, unpacked where needed; it can be stopped."""
    with path.open("rb") as raw:
        size_on_disk = max(os.fstat(raw.fileno()).st_size, 1)
        zipped = raw.peek(2)[:2] == b"\x1f\x8b"
        content = gzip.GzipFile(fileobj=raw) if zipped else raw
        stream = io.TextIOWrapper(content, encoding="utf-8-sig")
        read_so_far = 0

        def read(size: int) -> str:
            nonlocal read_so_far
            ask_stop(f"{path} was not read: it was stopped.")
            tell_share(raw.tell() / size_on_disk)
            text = stream.read(size)
            read_so_far += len(text)
            if read_so_far > LARGEST:
                raise ExchangeError(
                    f"it is larger than {LARGEST >> 30} GiB. Split it, for instance by region."
                )
            return text

        yield read
