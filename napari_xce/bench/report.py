"""What a benchmark hands over: figures for people, the same and more as JSON for programs."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

import napari_xce
from napari_xce.demo.machine import describe_machine
from napari_xce.errors import ExchangeError

PERCENTILES = (50, 75, 90, 95, 99)


def begin(benchmark: str) -> dict[str, Any]:
    """Return the head of a report: what, when, and on which machine, as busy as it is now.

    Parameters
    ----------
    benchmark : str
        Name of the command.

    Returns
    -------
    dict
        Fit for JSON. ``load`` is the mean number of processes that wanted a core in the last
        minute before the benchmark, null where the system does not say: well above 0, the machine
        was not quiet and times are not figures.
    """
    return {
        "benchmark": benchmark,
        "measured": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "version": napari_xce.__version__,
        "machine": describe_machine(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def percentiles(samples: Iterable[float]) -> dict[str, float | None]:
    """Return count, mean and percentiles of samples, rounded to 0.1; None where there are none.

    Examples
    --------
    >>> percentiles([10.0, 20.0, 30.0])["p50"]
    20.0
    """
    values = np.fromiter(samples, dtype=np.float64)
    if not len(values):
        return {"n": 0, "mean": None, **{f"p{p}": None for p in PERCENTILES}, "max": None}
    found = {f"p{p}": round(float(np.percentile(values, p)), 1) for p in PERCENTILES}
    return {
        "n": len(values),
        "mean": round(float(values.mean()), 1),
        **found,
        "max": round(float(values.max()), 1),
    }


def finish(
    report: Mapping[str, Any],
    title: str,
    rows: Sequence[tuple[str, Any]],
    file: Path | None,
) -> None:
    """Print a table, and write the whole report to a file if one is given.

    Parameters
    ----------
    report : mapping
        Fit for JSON.
    title : str
        Of the table.
    rows : sequence of (str, value)
        What is measured, in words with the unit, and the figure.
    file : Path or None
        Replaced if it is there.

    Raises
    ------
    ExchangeError
        If the file cannot be written; the table is printed all the same.
    """
    machine = report["machine"]
    table = Table(title=title, show_header=False, title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    for words, value in rows:
        table.add_row(words, _in_words(value))
    Console().print(table)
    typer.echo(f"{machine['cpu']}, {machine['cores']} cores, torch {machine['torch']}")
    if file is not None:
        try:
            file.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise ExchangeError(
                f"{file} cannot be written ({error.strerror}). Choose another place."
            ) from error


def _in_words(value: Any) -> str:
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:,.3g}" if value < 100 else f"{value:,.0f}"
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
