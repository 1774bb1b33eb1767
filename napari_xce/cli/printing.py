"""What the commands print: tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from napari_xce.evaluation.scores import Score

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def busy(words: str) -> AbstractContextManager[Any]:
    """Return a spinner on a terminal, and nothing elsewhere."""
    return Console(stderr=True).status(words)


def print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2))


def print_written(file: Path, as_json: bool) -> None:
    """Say which file was written."""
    if as_json:
        print_json({"file": str(file)})
    else:
        typer.echo(f"Written: {file}")


def print_table(title: str, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a title and a table; without a head when its titles are empty."""
    typer.echo(title)
    table = Table(show_header=any(head))
    for number, name in enumerate(head):
        table.add_column(name, justify="right" if number and any(head) else "left")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    Console().print(table)


def score_in_words(score: Score) -> tuple[str, str, str, int]:
    """Return precision, recall and F1 as "0.91 (0.85-0.95)", and the number of true cells."""
    plain = score.as_dict()
    figures = (
        "-" if plain[name] is None else "{:.2f} ({:.2f}-{:.2f})".format(plain[name], *interval)
        for name in ("precision", "recall", "f1")
        for interval in [plain[f"{name}_interval"]]
    )
    precision, recall, f1 = figures
    return precision, recall, f1, score.true_positives + score.false_negatives


def print_demo(report: dict[str, Any], folder: Path) -> None:
    """Print what the demo did: how many clicks, how right, how fast, and where to look."""
    parts = [("right class", report), ("any class", report["detection"])]
    parts += list(report["classes"].items())
    rows = [
        (name, *(_figure(part[key]) for key in ("precision", "recall", "f1")), part["cells"])
        for name, part in parts
    ]
    print_table(
        f"{report['clicks']} clicks, then {report['cells_found']:,} cells found on the slide",
        ("away from the clicks", "precision", "recall", "F1", "true cells"),
        rows,
    )
    machine = report["machine"]
    typer.echo(
        f"First prediction {report['seconds_to_first_prediction']:.2f} s after the start of "
        f"learning; {report['seconds_total']:.0f} s in all ({machine['cpu']}, {machine['cores']} "
        f"cores).\nLook at {folder / 'overlay.png'}; all figures are in {folder / 'report.json'}."
    )


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
