"""The command line: thin commands over ``Session``.

Torch, Qt and most of the package are imported inside the commands, so that ``--help`` is quick.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from napari_xce.bench.commands import bench
from napari_xce.errors import ExchangeError, SessionError, XceError, XceWarning

if TYPE_CHECKING:
    from napari_xce.evaluation.scores import Score
    from napari_xce.session import Session


class _Group(TyperGroup):
    """Commands whose errors and warnings are sentences, not tracebacks."""

    def invoke(self, ctx: Any) -> Any:
        with warnings.catch_warnings():  # puts showwarning back, too
            warnings.simplefilter("always", XceWarning)
            warnings.showwarning = _show_warning
            try:
                return super().invoke(ctx)
            except XceError as error:
                typer.secho(f"Error: {error}", fg="red", err=True)
                raise typer.Exit(1) from error


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show what the user should know; what other libraries warn of is for developers."""
    if issubclass(category, XceWarning):
        typer.secho(f"Note: {message}", fg="yellow", err=True)


app = typer.Typer(
    cls=_Group,
    name="napari-xce",
    help="Click a few cells on a whole-slide image and see them all.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)

app.add_typer(bench)

SAVE_SECONDS = 60.0

_Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
_SessionFolder = Annotated[Path, typer.Argument(metavar="SESSION", help="Its folder (.xce).")]


@app.command(epilog="Example: [bold]napari-xce demo --headless --out demo-out[/bold]")
def demo(
    headless: Annotated[bool, typer.Option("--headless", help="Open no window.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write to; by default demo-out, with a window a new one."),
    ] = None,
    as_json: _Json = False,
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
    with _busy("Clicking, learning, predicting; this takes about half a minute"):
        report = run_demo(folder)
    if as_json:
        _print_json(report)
    else:
        _print_demo(report, folder)


def _demo_window(folder: Path) -> None:
    """Open the viewer on the sample slide, with a few clicks made."""
    from napari_xce.demo import prepare_demo
    from napari_xce.session import Session
    from napari_xce.widgets.launch import open_viewer, run

    with _busy("Making a slide"):
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
    as_json: _Json = False,
) -> None:
    """Learn from everything annotated in a session; the model is kept in it."""
    from dataclasses import asdict

    from napari_xce.session import Session

    with Session.open(session) as work, _busy(f"Learning for {seconds:.0f} s"):
        report = work.fit(seconds)
        thresholds = work.thresholds
    if as_json:
        loss = report.loss if math.isfinite(report.loss) else None
        _print_json({**asdict(report), "loss": loss, "thresholds": thresholds})
        return
    rows = [
        ("first answer after", f"{report.seconds_to_first_answer:.2f} s"),
        ("fine-tuning", f"{report.steps} steps; {report.words}"),
        ("revision of the model", report.revision),
        *((f"threshold of {name}", f"{value:.2f}") for name, value in thresholds.items()),
    ]
    _print_table(f"Learnt in {report.seconds:.1f} s", ("", ""), rows)


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
    as_json: _Json = False,
) -> None:
    """Find the cells of whole slides with what a session, or a model, has learnt."""
    if len(slides) > 1 or scheduler is not None or workers is not None:
        if model is None:
            raise SessionError("Many slides, or workers, need a model: give --model, a file.")
        _predict_cohort(slides, model, out, mpp, scheduler, workers, as_json)
        return
    _check_target(out)
    counts = _predict_one(slides[0], out, session, model, mpp)
    if as_json:
        _print_json({"slide": str(slides[0]), "file": str(out), "cells": counts})
    else:
        _print_table(f"Cells written to {out}", ("class", "cells"), list(counts.items()))


def _predict_one(
    slide: Path, out: Path, session: Path | None, model: Path | None, mpp: float | None
) -> dict[str, int]:
    """Predict a slide here and write its cells; return how many there are of each class."""
    from napari_xce.slides import open_slide

    opened = open_slide(slide)
    with _learnt(session, model) as work:
        id = work.add_slide(opened)
        if mpp is not None:
            work.set_mpp(id, mpp)
        _predict_tiles(work, id)
        cells = work.predict(id)
        work.export(out, id)
        return {name: int((cells.labels == name).sum()) for name in work.class_names}


def _predict_cohort(
    slides: list[Path],
    model: Path,
    out: Path,
    mpp: float | None,
    scheduler: str | None,
    workers: int | None,
    as_json: bool,
) -> None:
    """Predict slides on the workers of dask; a file each in a folder."""
    from rich.progress import track

    from napari_xce.cohort import connect, predict_cohort

    try:
        out.mkdir(exist_ok=True)
    except OSError as error:
        raise ExchangeError(
            f"{out} cannot be a folder ({error.strerror}). Choose another."
        ) from error
    done: list[dict[str, Any]] = []
    with connect(scheduler, workers) as client:
        runs = predict_cohort(slides, model, out, client, mpp=mpp)
        console = Console(stderr=True)
        for slide, file, counts in track(
            runs, "Predicting", len(slides), console=console, transient=True
        ):
            done.append({"slide": str(slide), "file": str(file), "cells": counts})
    if as_json:
        _print_json(done)
    else:
        rows = [(Path(d["file"]).name, sum(d["cells"].values())) for d in done]
        _print_table(f"Cells written to {out}", ("file", "cells"), rows)


@contextmanager
def _learnt(session: Path | None, model: Path | None) -> Iterator[Session]:
    """Open a session, or a passing one that answers with a model."""
    from napari_xce.cohort import session_with
    from napari_xce.session import Session

    if session is not None and model is None:
        with Session.open(session) as work:
            yield work
    elif model is not None and session is None:
        with (
            tempfile.TemporaryDirectory() as folder,
            session_with(model, Path(folder)) as work,
        ):
            yield work
    else:
        raise SessionError("Say what has learnt: either --session or --model, and only one.")


def _check_target(out: Path) -> None:
    """Refuse a file that cannot be written now, not after an hour of predicting."""
    from napari_xce.exchange import format_of

    format_of(out)
    if not out.absolute().parent.is_dir():
        raise ExchangeError(f"The folder {out.parent} does not exist. Make it, or choose another.")


def _predict_tiles(work: Session, id: str) -> None:
    """Predict a slide tile by tile, with a bar that says how long it will take."""
    from rich.progress import Progress

    if not work.live.has_learnt:
        return  # Session.predict says it in words
    tiles = work.stale_tiles(id, skip_glass=True)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Predicting", total=len(tiles))
        saved = time.monotonic()
        for done in work.predict_tiles(id, tiles):
            bar.advance(task, len(done))
            if time.monotonic() - saved > SAVE_SECONDS:  # a run that is killed goes on from here
                work.save()
                saved = time.monotonic()


@app.command(epilog="Example: [bold]napari-xce evaluate case.xce --json[/bold]")
def evaluate(
    session: _SessionFolder,
    slide: Annotated[
        str | None, typer.Option(help="Name or id of one slide; by default all.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Measure precision, recall and F1, with 95 % intervals, in the reviewed regions."""
    from napari_xce.session import Session

    with Session.open(session) as work, _busy("Predicting the reviewed regions"):
        scores = work.evaluate(None if slide is None else _slide_id(work, slide))
    if as_json:
        _print_json({name: score.as_dict() for name, score in scores.items()})
        return
    rows = [(name, *_in_words(score)) for name, score in scores.items()]
    _print_table(
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
    as_json: _Json = False,
) -> None:
    """Write the cells found so far, and what was annotated, for other programs.

    Formats: .geojson and .geojson.gz (QuPath), .csv, .ome.tif and .zarr (masks), .json (COCO),
    .safetensors (the model).
    """
    from napari_xce.session import Session

    with Session.open(session) as work, _busy(f"Writing {file.name}"):
        written = work.export(file, None if slide is None else _slide_id(work, slide))
    if as_json:
        _print_json({"file": str(written)})
    else:
        typer.echo(f"Written: {written}")


@app.command(epilog="Example: [bold]napari-xce measure case.xce --out numbers.csv[/bold]")
def measure(
    session: _SessionFolder,
    slide: Annotated[
        str | None, typer.Option(help="Name or id of the slide, where there are several.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Also write all numbers as CSV.")] = None,
    as_json: _Json = False,
) -> None:
    """Count the cells found so far on a slide and in its areas, per mm² of tissue."""
    from napari_xce.session import Session

    with Session.open(session) as work, _busy("Measuring"):
        id = None if slide is None else _slide_id(work, slide)
        measures = work.measure_all(id)
        if out is not None:
            work.export_measures(out, id)
    if as_json:
        _print_json([found.as_dict() for found in measures])
        return
    rows = [
        (found.place, name, f"{count:,}", "-" if per is None else f"{per[name]:,.0f}")
        for found in measures
        for per in [found.densities]
        for name, count in found.counts.items()
    ]
    _print_table("Cells, per mm² of predicted tissue", ("place", "class", "cells", "/mm²"), rows)


@app.command(epilog="Example: [bold]napari-xce report case.xce case.pdf[/bold]")
def report(
    session: _SessionFolder,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Ends in .pdf or .html.")],
    slide: Annotated[
        str | None, typer.Option(help="Name or id of the slide, where there are several.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Write one page on a slide: maps, hot spots, counts, the model and how good it is."""
    from napari_xce.session import Session

    with Session.open(session) as work, _busy(f"Writing {file.name}"):
        written = work.report(file, None if slide is None else _slide_id(work, slide))
    if as_json:
        _print_json({"file": str(written)})
    else:
        typer.echo(f"Written: {written}")


def _slide_id(work: Session, words: str) -> str:
    """Return the id of the slide that has this id, name or file name."""
    for id, slide in work.slides.items():
        if words in (id, slide.name, slide.path.name if slide.path is not None else ""):
            return id
    names = ", ".join(slide.name for slide in work.slides.values()) or "none"
    raise SessionError(f"There is no slide {words!r} in this session. Its slides: {names}.")


# ---- out


def _busy(words: str) -> AbstractContextManager[Any]:
    """Return a spinner on a terminal, and nothing elsewhere."""
    return Console(stderr=True).status(words)


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2))


def _print_table(title: str, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a title and a table; without a head when its titles are empty."""
    typer.echo(title)
    table = Table(show_header=any(head))
    for number, name in enumerate(head):
        table.add_column(name, justify="right" if number and any(head) else "left")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    Console().print(table)


def _in_words(score: Score) -> tuple[str, str, str, int]:
    """Return precision, recall and F1 as "0.91 (0.85-0.95)", and the number of true cells."""
    plain = score.as_dict()
    figures = (
        "-" if plain[name] is None else "{:.2f} ({:.2f}-{:.2f})".format(plain[name], *interval)
        for name in ("precision", "recall", "f1")
        for interval in [plain[f"{name}_interval"]]
    )
    precision, recall, f1 = figures
    return precision, recall, f1, score.true_positives + score.false_negatives


def _print_demo(report: dict[str, Any], folder: Path) -> None:
    """Print what the demo did: how many clicks, how right, how fast, and where to look."""
    parts = [("right class", report), ("any class", report["detection"])]
    parts += list(report["classes"].items())
    rows = [
        (name, *(_figure(part[key]) for key in ("precision", "recall", "f1")), part["cells"])
        for name, part in parts
    ]
    _print_table(
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
