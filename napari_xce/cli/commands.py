"""The commands: thin calls of ``Session``.

Torch, Qt and most of the package are imported inside the commands, so that ``--help`` is quick.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_xce.bench.commands import bench
from napari_xce.cli.app import app
from napari_xce.cli.predicting import check_target, predict_many, predict_one
from napari_xce.cli.printing import (
    Json,
    busy,
    print_demo,
    print_json,
    print_table,
    print_written,
    score_in_words,
)
from napari_xce.errors import SessionError, XceError

if TYPE_CHECKING:
    from napari_xce.session import Session

app.add_typer(bench)

_SessionFolder = Annotated[Path, typer.Argument(metavar="SESSION", help="Its folder (.xce).")]


@app.command(epilog="Example: [bold]napari-xce demo --headless --out demo-out[/bold]")
def demo(
    headless: Annotated[bool, typer.Option("--headless", help="Open no window.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write to; by default demo-out, with a window a new one."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the whole job on a synthetic H&E slide.

    With a display: the viewer, with a few clicks made, ready to press "Learn". Headless, or where
    there is no display: clicks, learning, prediction, export, and how right all that was.
    """
    from napari_xce.demo import run_demo
    from napari_xce.widgets.launch import why_no_window

    obstacle = None if headless else why_no_window()
    if not headless and obstacle is None:
        _demo_window(out or Path(tempfile.mkdtemp(prefix="napari-xce-demo-")))
        return
    if obstacle is not None:
        typer.echo(f"{obstacle} The demo runs without one.", err=True)
    folder = out or Path("demo-out")
    with busy("Clicking, learning, predicting; this takes about half a minute"):
        report = run_demo(folder)
    if as_json:
        print_json(report)
    else:
        print_demo(report, folder)


def _demo_window(folder: Path) -> None:
    """Open the viewer on the sample slide, with a few clicks made."""
    from napari_xce.demo import prepare_demo
    from napari_xce.session import Session
    from napari_xce.widgets.launch import open_viewer, run

    with busy("Making a slide"):
        prepared = prepare_demo(folder)
    typer.echo(f"The slide and your session are in {folder}. To go on with them another time:")
    typer.echo(f"  napari-xce annotate --session {prepared.session}")
    (y0, x0), (y1, x1) = prepared.window
    open_viewer(session=Session.open(prepared.session), look_at=((y0 + y1) / 2, (x0 + x1) / 2, 1.0))
    run()


@app.command(epilog="Example: [bold]napari-xce annotate slide.svs --session case.xce[/bold]")
def annotate(
    slide: Annotated[Path | None, typer.Argument(metavar="SLIDE", help="A slide file.")] = None,
    session: Annotated[
        Path | None,
        typer.Option(help="Session to go on with, or to begin; by default one beside the slide."),
    ] = None,
) -> None:
    """Open the viewer and annotate a slide."""
    from napari_xce.session import Session
    from napari_xce.slides import open_slide
    from napari_xce.widgets.launch import open_viewer, run, why_no_window

    obstacle = why_no_window()
    if obstacle is not None:
        raise XceError(f"{obstacle} Without a window there are napari-xce train and predict.")
    opened = open_slide(slide) if slide is not None else None
    if session is None:
        open_viewer(slide=opened)
    else:
        begin = opened is not None and not session.exists()
        work = Session.create(session) if begin else Session.open(session)
        if opened is not None:
            first = work.add_slide(opened)
            work.slides = {first: work.slides[first], **work.slides}  # the first is worked on
        open_viewer(session=work)
    run()


@app.command(epilog="Example: [bold]napari-xce train case.xce --seconds 60[/bold]")
def train(
    session: _SessionFolder,
    seconds: Annotated[float, typer.Option(min=0, help="How long to learn.")] = 30.0,
    as_json: Json = False,
) -> None:
    """Learn from everything annotated in a session; the model is kept in it."""
    from dataclasses import asdict

    from napari_xce.session import Session

    with Session.open(session) as work, busy(f"Learning for {seconds:.0f} s"):
        report = work.fit(seconds)
        thresholds = work.thresholds
    if as_json:
        loss = report.loss if math.isfinite(report.loss) else None
        print_json({**asdict(report), "loss": loss, "thresholds": thresholds})
        return
    rows = [
        ("first answer after", f"{report.seconds_to_first_answer:.2f} s"),
        ("fine-tuning", f"{report.steps} steps; {report.words}"),
        ("revision of the model", report.revision),
        *((f"threshold of {name}", f"{value:.2f}") for name, value in thresholds.items()),
    ]
    print_table(f"Learnt in {report.seconds:.1f} s", ("", ""), rows)


@app.command(
    epilog="Example: [bold]napari-xce predict slide.svs --session case.xce --out cells.csv[/bold]"
    " and, for many slides on a cluster, [bold]napari-xce predict *.svs --model model.safetensors "
    "--out folder --scheduler tcp://host:8786[/bold]"
)
def predict(
    slides: Annotated[list[Path], typer.Argument(metavar="SLIDES...", help="Slide files.")],
    out: Annotated[
        Path, typer.Option(help="File to write, its ending says the format; a folder for many.")
    ],
    session: Annotated[
        Path | None, typer.Option(help="Session that has learnt; the slide is added to it.")
    ] = None,
    model: Annotated[Path | None, typer.Option(help="Or a model (.safetensors).")] = None,
    mpp: Annotated[
        float | None, typer.Option(help="Micrometres per pixel, where the file does not say.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a dask scheduler whose workers do it.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Or: so many processes on this machine.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Find the cells of whole slides with what a session, or a model, has learnt."""
    if len(slides) > 1 or scheduler is not None or workers is not None:
        if model is None:
            raise SessionError("Many slides, or workers, need a model: give --model, a file.")
        predict_many(slides, model, out, mpp, scheduler, workers, as_json)
        return
    check_target(out)
    counts = predict_one(slides[0], out, session, model, mpp)
    if as_json:
        print_json({"slide": str(slides[0]), "file": str(out), "cells": counts})
    else:
        print_table(f"Cells written to {out}", ("class", "cells"), list(counts.items()))


@app.command(epilog="Example: [bold]napari-xce evaluate case.xce --json[/bold]")
def evaluate(
    session: _SessionFolder,
    slide: Annotated[
        str | None, typer.Option(help="Name or id of one slide; by default all.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure precision, recall and F1, with 95 % intervals, in the reviewed regions."""
    from napari_xce.session import Session

    with Session.open(session) as work, busy("Predicting the reviewed regions"):
        scores = work.evaluate(_slide_id(work, slide))
    if as_json:
        print_json({name: score.as_dict() for name, score in scores.items()})
        return
    rows = [(name, *score_in_words(score)) for name, score in scores.items()]
    print_table(
        "Accuracy in the reviewed regions (95 % interval)",
        ("class", "precision", "recall", "F1", "true cells"),
        rows,
    )
    typer.echo(
        "Clicks in these regions also taught the model: a slide of its own is a fairer test."
    )


@app.command(epilog="Example: [bold]napari-xce export case.xce cells.geojson[/bold]")
def export(
    session: _SessionFolder,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Its ending says the format.")],
    slide: Annotated[
        str | None, typer.Option(help="Name or id of the slide, where there are several.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the cells found so far, and what was annotated, for other programs.

    Formats: .geojson and .geojson.gz (QuPath), .csv, .ome.tif and .zarr (masks), .json (COCO),
    .safetensors (the model).
    """
    from napari_xce.session import Session

    with Session.open(session) as work, busy(f"Writing {file.name}"):
        written = work.export(file, _slide_id(work, slide))
    print_written(written, as_json)


@app.command(epilog="Example: [bold]napari-xce measure case.xce --out numbers.csv[/bold]")
def measure(
    session: _SessionFolder,
    slide: Annotated[
        str | None, typer.Option(help="Name or id of the slide, where there are several.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Also write all numbers as CSV.")] = None,
    as_json: Json = False,
) -> None:
    """Count the cells found so far on a slide and in its areas, per mm² of tissue."""
    from napari_xce.session import Session

    with Session.open(session) as work, busy("Measuring"):
        id = _slide_id(work, slide)
        measures = work.measure_all(id)
        if out is not None:
            work.export_measures(out, id)
    if as_json:
        print_json([found.as_dict() for found in measures])
        return
    rows = [
        (found.place, name, f"{count:,}", "-" if per is None else f"{per[name]:,.0f}")
        for found in measures
        for per in [found.densities]
        for name, count in found.counts.items()
    ]
    print_table("Cells, per mm² of predicted tissue", ("place", "class", "cells", "/mm²"), rows)


@app.command(epilog="Example: [bold]napari-xce report case.xce case.pdf[/bold]")
def report(
    session: _SessionFolder,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Ends in .pdf or .html.")],
    slide: Annotated[
        str | None, typer.Option(help="Name or id of the slide, where there are several.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write one page on a slide: maps, hot spots, counts, the model and how good it is."""
    from napari_xce.session import Session

    with Session.open(session) as work, busy(f"Writing {file.name}"):
        written = work.report(file, _slide_id(work, slide))
    print_written(written, as_json)


def _slide_id(work: Session, words: str | None) -> str | None:
    """Return the id of the slide that has this id, name or file name; None where none is named."""
    if words is None:
        return None
    for id, slide in work.slides.items():
        if words in (id, slide.name, slide.path.name if slide.path is not None else ""):
            return id
    names = ", ".join(slide.name for slide in work.slides.values()) or "none"
    raise SessionError(f"There is no slide {words!r} in this session. Its slides: {names}.")
