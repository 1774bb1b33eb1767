"""Say in words that a file of another program was not read, and why."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_xce.errors import ExchangeError
from napari_xce.exchange.stopping import Stopped


@contextmanager
def naming(path: Path | str) -> Iterator[None]:
    """Name the file in what goes wrong while it is read, whatever its format."""
    try:
        yield
    except Stopped:
        raise
    except ExchangeError as error:
        raise ExchangeError(f"{path} was not read: {error}") from None
    except OSError as error:
        raise ExchangeError(
            f"{path} was not read: {error.strerror or error}. Check the name and the folder."
        ) from None
