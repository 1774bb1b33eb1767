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

    _need_window()
    report = measure_latency(clicks=clicks)
    finish(report, "Latency", rows_of(report), as_json)


@bench.command(epilog="Example: [bold]napari-xce bench throughput --json throughput.json[/bold]")
def throughput(
    side: Annotated[int, typer.Option(min=2048, help="Of the slide, pixels of 0.5 um.")] = 8192,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each measurement.")] = 5,
    as_json: JsonFile = None,
) -> None:
    """Time a whole-slide run, its parts, and other networks, in megapixels a second."""
    from napari_xce.bench.report import finish
    from napari_xce.bench.throughput import measure_throughput, rows_of

    report = measure_throughput(side, rounds)
    finish(report, "Throughput at 0.5 um/px", rows_of(report), as_json)


@bench.command(epilog="Example: [bold]napari-xce bench scale --json scale.json[/bold]")
def scale(
    detections: Annotated[int, typer.Option(min=1, help="Cells in the store.")] = 5_000_000,
    side: Annotated[int, typer.Option(min=4096, help="Of the slide, pixels of 0.5 um.")] = 250_000,
    as_json: JsonFile = None,
) -> None:
    """Open a slide of 250,000 x 250,000 pixels with millions of cells, and look around.

    Needs a display, or xvfb-run.
    """
    from napari_xce.bench.report import finish
    from napari_xce.bench.scale import measure_scale, rows_of

    _need_window()
    report = measure_scale(detections, side)
    finish(report, "Scale", rows_of(report), as_json)


@bench.command(epilog="Example: [bold]napari-xce bench soak --minutes 60 --json soak.json[/bold]")
def soak(
    minutes: Annotated[float, typer.Option(min=0.1, help="How long to use the window.")] = 60.0,
    as_json: JsonFile = None,
) -> None:
    """Use a real window for long, and see whether memory, threads or open files grow.

    Needs a display, or xvfb-run.
    """
    from napari_xce.bench.report import finish
    from napari_xce.bench.soak import rows_of
    from napari_xce.bench.soak import soak as use

    _need_window()
    report = use(minutes)
    finish(report, "Long use", rows_of(report), as_json)


def _need_window() -> None:
    """Refuse, saying how to get one, where no window can be opened."""
    from napari_xce.errors import XceError
    from napari_xce.widgets.launch import why_no_window

    obstacle = why_no_window()
    if obstacle is not None:
        raise XceError(f'{obstacle} Try: xvfb-run -a -s "-screen 0 2200x1300x24" napari-xce bench')
