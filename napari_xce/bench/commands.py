"""The commands `napari-xce bench ...`: thin, over the modules beside this one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

bench = typer.Typer(
    name="bench",
    help="Measure speed on this machine. Do it with nothing else running.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

JsonFile = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write the figures here, too.")
]


@bench.callback(epilog="Example: [bold]napari-xce bench latency --json latency.json[/bold]")
def group() -> None:
    """Measure speed on this machine; best with nothing else running."""


@bench.command(epilog="Example: [bold]napari-xce bench latency --json latency.json[/bold]")
def latency(
    clicks: Annotated[int, typer.Option(min=1, help="How many clicks to time.")] = 40,
    as_json: JsonFile = None,
) -> None:
    """Time from a click to the picture, in a real window while it learns.

    Needs a display, or xvfb-run.
    """
    from napari_xce.bench.latency import measure_latency, rows_of
    from napari_xce.bench.report import finish
    from napari_xce.errors import XceError
    from napari_xce.widgets.launch import why_no_window

    obstacle = why_no_window()
    if obstacle is not None:
        raise XceError(f'{obstacle} Try: xvfb-run -a -s "-screen 0 2200x1300x24" napari-xce bench')
    report = measure_latency(clicks=clicks)
    finish(report, "Latency", rows_of(report), as_json)
