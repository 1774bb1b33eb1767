from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_xce.annotations.records import Annotations
from napari_xce.errors import ExchangeError
from napari_xce.exchange.table_reading import read_csv
from napari_xce.exchange.tables import write_csv
from napari_xce.predictions.detections import Detections


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "in.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_detections_by_hand(tmp_path: Path, detections: Detections) -> None:
    write_csv(tmp_path / "a.csv", detections=detections, mpp=(0.5, 0.25))
    assert (tmp_path / "a.csv").read_text(encoding="utf-8") == (
        "y_px,x_px,y_um,x_um,class,score,diameter_px,diameter_um,kind,provenance\n"
        "10.000,20.000,5.000,5.000,lymphocyte,0.9375,16.000,5.657,detection,\n"
        "3.250,7.500,1.625,1.875,tumour,0.5000,,,detection,\n"
    )


def test_micrometres_are_empty_when_the_pixel_size_is_unknown(
    tmp_path: Path, detections: Detections
) -> None:
    write_csv(tmp_path / "a.csv", detections=detections, mpp=None)
    first = rows(tmp_path / "a.csv")[0]
    assert (first["y_um"], first["x_um"], first["diameter_um"]) == ("", "", "")
    assert first["diameter_px"] == "16.000"


def test_annotations_keep_kind_and_provenance(tmp_path: Path, annotations: Annotations) -> None:
    write_csv(tmp_path / "a.csv", annotations=annotations, mpp=(0.5, 0.5))
    found = rows(tmp_path / "a.csv")
    assert [row["kind"] for row in found] == ["point", "rejection", "mask", "region"]
    assert [row["class"] for row in found] == ["lymphocyte", "background", "tumour", ""]
    assert found[3]["provenance"] == "accepted"
    assert found[3]["y_um"] == "62.500"


@pytest.mark.parametrize("name", ["=1+1", "+a", "-a", "@a", "'=a", "'", "ordinary, name"])
def test_no_name_can_run_as_a_formula(tmp_path: Path, name: str) -> None:
    write_csv(tmp_path / "a.csv", detections=Detections([[0, 0]], [name], [1], [1]), mpp=None)
    assert not rows(tmp_path / "a.csv")[0]["class"].startswith(("=", "+", "-", "@"))
    assert read_csv(tmp_path / "a.csv").labels.tolist() == [name]


def test_coordinate_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    cells = Detections([[0, np.inf]], ["a"], [1], [1])
    with pytest.raises(ExchangeError, match="Detection 1"):
        write_csv(tmp_path / "a.csv", detections=cells, mpp=None)
    assert list(tmp_path.iterdir()) == []


def test_reviewed_regions_are_left_out_and_counted(
    tmp_path: Path, annotations: Annotations
) -> None:
    write_csv(tmp_path / "a.csv", annotations=annotations, mpp=None)
    found = read_csv(tmp_path / "a.csv")
    assert found.labels.tolist() == ["lymphocyte", "background", "tumour"]
    assert found.notes == ("Left out: 1 reviewed regions, since a table has no outlines.",)


@pytest.mark.parametrize(
    ("text", "mpp"),
    [
        ("y_px,x_px,class\n10,20,a\n", None),
        ("index,axis-0,axis-1,label\n0,10,20,a\n", None),  # napari
        ("Y;X;Class\n10,0;20,0;a\n\n", None),  # a German spreadsheet
        ("Image\tClassification\tCentroid X px\tCentroid Y px\ns\ta\t20.5\t10.5\n", None),  # QuPath
        ("Classification,Centroid X µm,Centroid Y µm\na,10.25,5.25\n", (0.5, 0.5)),  # QuPath
        ("Classification,Centroid X \u03bcm,Centroid Y \u03bcm\na,10.25,5.25\n", (0.5, 0.5)),
        ("y_um,x_um,class\n5,5,a\n", (0.5, 0.25)),
        ("\ufeffx_px,y_px,y_um,x_um,class\n20,10,,,a\n", (0.5, 0.5)),
    ],
)
def test_tables_of_many_programs_are_read(
    tmp_path: Path, text: str, mpp: tuple[float, float] | None
) -> None:
    found = read_csv(table(tmp_path, text), mpp=mpp)
    assert found.points.tolist() == [[10.0, 20.0]]
    assert found.labels.tolist() == ["a"]
    assert found.polygons == (None,)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "no columns say where"),
        ("a,b\n1,2\n", "no columns say where"),
        ("y_um,x_um\n1,2\n", "pixel size of the slide is unknown"),
        ("y_px,x_px\n1,2\n1,two\n", "line 3: 'two' is not a number"),
        ("y_px,x_px\n1,nan\n", "line 2: 'nan' is not finite"),
        ("y_px,x_px\n1,1e999\n", "line 2: '1e999' is not finite"),
        ("y_px,x_px,class\n1,2\n", "line 2 has too few columns"),
        (f"y_px,x_px,class\n1,2,{'a' * 300}\n", "line 2 has a class name of 300"),
        (f"y_px,x_px,class\n1,2,{'a' * 200_000}\n", "not a table"),
    ],
)
def test_bad_tables_are_refused_in_words(tmp_path: Path, text: str, match: str) -> None:
    with pytest.raises(ExchangeError, match=match):
        read_csv(table(tmp_path, text))


def test_unreadable_files_are_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(b"y_px,x_px\n\xff\xff,2\n")
    with pytest.raises(ExchangeError, match="not UTF-8"):
        read_csv(path)
    with pytest.raises(ExchangeError, match="Check the name"):
        read_csv(tmp_path / "none.csv")


names = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=20)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(st.tuples(st.floats(-10, 250_000), st.floats(-10, 250_000), names), max_size=8),
    st.none() | st.tuples(st.floats(0.1, 2), st.floats(0.1, 2)),
)
def test_points_come_back_where_they_were(
    tmp_path: Path, cells: list, mpp: tuple[float, float] | None
) -> None:
    y, x, labels = zip(*cells, strict=True) if cells else ((), (), ())
    written = Detections(np.column_stack([y, x]), labels, np.ones(len(y)), np.ones(len(y)))
    write_csv(tmp_path / "a.csv", detections=written, mpp=mpp)
    found = read_csv(tmp_path / "a.csv", mpp=mpp)
    assert np.allclose(found.points, written.points, rtol=0, atol=6e-4)
    assert found.labels.tolist() == list(labels)
