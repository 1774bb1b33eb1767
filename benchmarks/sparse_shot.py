"""The paper's protocol on nine tasks: ``python benchmarks/sparse_shot.py --data DIR``.

F1 against the share of cells that are annotated, for each loss, head and start, beside the trivial
answer. A cell of the table takes seconds and is one line of ``sparse_shot.jsonl``, written when it
is done: kill the run at any time, the same command goes on where it was. ``--quick`` does a part
in about ten minutes on two cores; ``--table`` draws tables and plots of what is done so far.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import torch
from protocol.cells import Bench, Cell, every_cell, measure
from protocol.report import write_report
from protocol.rows import RowFile

from napari_xce.demo import describe_machine
from napari_xce.learning.shipped import WEIGHTS

RESULTS = Path(__file__).parent / "results"
DATASETS = ("brca_m2c", "dsb2018", "cbc")
QUICK_TASKS = ("brca lymphocyte", "dsb violet", "cbc platelets")
QUICK_FRACTIONS = (0.1, 1.0)


def quick(cells: list[Cell]) -> list[Cell]:
    """Keep three tasks, two fractions and the first seed."""
    return [
        cell
        for cell in cells
        if cell.task in QUICK_TASKS and cell.fraction in QUICK_FRACTIONS and cell.seed == 0
    ]


def run(cells: list[Cell], bench: Bench, rows: RowFile, jobs: int, threads: int) -> int:
    """Measure the cells that are not done yet, and append a row for each; return the failures."""
    done = {row["key"] for row in rows.read()}
    open_cells = [cell for cell in cells if bench.key(cell) not in done]
    print(f"{len(cells) - len(open_cells)} cells done before, {len(open_cells)} to do", flush=True)
    machine = describe_machine()
    failed = 0
    for number, (cell, row) in enumerate(_measured(open_cells, bench, jobs, threads), 1):
        if isinstance(row, Exception):
            failed += 1
            print(f"{cell}: {type(row).__name__}: {row}", file=sys.stderr, flush=True)
            continue
        rows.append({**row, "machine": machine, "threads": threads})
        f1 = " ".join(f"{k} {v['f1']:.3f}" for k, v in row["points"]["6um"].items())
        name = f"{cell.task}, {cell.start}, {cell.head}, {cell.loss}, {cell.fraction:.0%}"
        print(f"{number}/{len(open_cells)} {name}, seed {cell.seed}: {f1}", flush=True)
    return failed


def _measured(
    cells: list[Cell], bench: Bench, jobs: int, threads: int
) -> Iterator[tuple[Cell, dict[str, Any] | Exception]]:
    """Yield each cell with its row, or with what went wrong, as they get done."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _begin_worker, (threads,)) as pool:
        waiting = {pool.submit(measure, cell, bench): cell for cell in cells}
        try:
            for future in as_completed(waiting):
                error = future.exception()
                if isinstance(error, Exception):
                    yield waiting[future], error
                else:
                    yield waiting[future], future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _begin_worker(threads: int) -> None:
    """Set the threads of a worker, and let it end with the program, however that ends."""
    torch.set_num_threads(threads)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def weights_by_dataset(given: list[str]) -> tuple[tuple[str, Path], ...]:
    """Read ``DATASET=FILE`` options; data sets that are not named take the shipped weights."""
    chosen = dict.fromkeys(DATASETS, WEIGHTS)
    for words in given:
        dataset, _, path = words.partition("=")
        card = Path(path).with_suffix(".json")  # says what they were trained on
        if dataset not in chosen or not Path(path).is_file() or not card.is_file():
            raise SystemExit(
                f"--weights {words}: give one of {', '.join(DATASETS)}, =, and a file of weights "
                "with its card (.json) beside it."
            )
        chosen[dataset] = Path(path).resolve()
    return tuple(chosen.items())


def main() -> None:
    """Run the paper's protocol, and write tables and plots."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("XCE_DATA", "../shared/data"),
        help="folder with brca_m2c, dsb2018, cbc (default: XCE_DATA)",
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for rows and tables")
    parser.add_argument("--quick", action="store_true", help="about ten minutes on two cores")
    parser.add_argument("--table", action="store_true", help="draw what is done, measure nothing")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2, help="cells at a time")
    parser.add_argument("--threads", type=int, default=1, help="threads of each")
    parser.add_argument(
        "--weights",
        action="append",
        default=[],
        metavar="DATASET=FILE",
        help="trunk for the tasks of one data set (default: the shipped weights)",
    )
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    rows, failed = RowFile(options.out / "sparse_shot.jsonl"), 0
    if not options.table:
        bench = Bench(options.data, weights_by_dataset(options.weights))
        cells = every_cell(options.seeds)
        cells = quick(cells) if options.quick else cells
        failed = run(cells, bench, rows, options.jobs, options.threads)
    for path in write_report(rows.read(), options.out):
        print(path)
    if failed:
        raise SystemExit(f"{failed} cells failed (see above); the same command tries them again")


if __name__ == "__main__":
    main()
