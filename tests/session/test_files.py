"""What is exported is what was found and said, and comes back in."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import shapely
import tifffile
import zarr

import napari_xce as xce
from napari_xce.session import Session
from napari_xce.slides.synthetic import SyntheticSlide

from .conftest import SHAPE, cells_of, make_slide


def _features(path: Path, kind: str) -> list[dict]:
    """Return the features of an object type, "detection" or "annotation"."""
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    found = json.loads(raw)["features"]
    return [feature for feature in found if feature["properties"]["objectType"] == kind]


# ---- out


@pytest.mark.parametrize("name", ["cells.geojson", "cells.geojson.gz"])
def test_geojson_holds_cells_and_annotations(predicted: Session, tmp_path: Path, name: str) -> None:
    predicted.reject([[20, 20]])
    cells = predicted.predict()
    path = predicted.export(tmp_path / name)
    assert path == tmp_path / name
    found, said = _features(path, "detection"), _features(path, "annotation")
    xy = np.array([feature["geometry"]["coordinates"] for feature in found])
    np.testing.assert_allclose(xy, cells.points[:, ::-1] + 0.5, atol=1e-3)  # from the corner
    assert [f["properties"]["classification"]["name"] for f in found] == cells.labels.tolist()
    assert len(said) == 9
    color = next(c.color for c in predicted.classes if c.name == "tumour")
    rgb = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    tumour = next(f for f in found if f["properties"]["classification"]["name"] == "tumour")
    assert tumour["properties"]["classification"]["color"] == rgb


def test_segmented_cells_are_polygons_and_not_points(predicted: Session, tmp_path: Path) -> None:
    predicted.set_head("unet")
    cells = predicted.predict()
    found = _features(predicted.export(tmp_path / "cells.geojson"), "detection")
    assert len(found) == len(cells)
    shapes = [shapely.geometry.shape(feature["geometry"]) for feature in found]
    assert all(shape.geom_type in ("Polygon", "MultiPolygon") for shape in shapes)
    tree = shapely.STRtree(shapes)
    middles = [shapely.Point(x + 0.5, y + 0.5) for y, x in cells.points]
    near = [tree.query_nearest(middle, max_distance=2).size > 0 for middle in middles]
    assert all(near)
    masks = predicted.segment()
    areas = sorted(shape.area for shape in shapes)
    assert sum(areas) == pytest.approx((masks > 0).sum(), rel=0.02)


def test_table_has_a_row_for_each_cell(predicted: Session, tmp_path: Path) -> None:
    cells = predicted.predict()
    with predicted.export(tmp_path / "cells.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(cells)
    assert float(rows[0]["y_px"]) == pytest.approx(cells.points[0, 0], abs=1e-3)
    assert float(rows[0]["x_um"]) == pytest.approx(cells.points[0, 1] * 0.5, abs=1e-3)
    assert {row["class"] for row in rows} == {"lymphocyte", "tumour"}


def test_coco_has_the_classes_as_categories(predicted: Session, tmp_path: Path) -> None:
    cells = predicted.predict()
    document = json.loads(predicted.export(tmp_path / "cells.json").read_text(encoding="utf-8"))
    assert [c["name"] for c in document["categories"]] == ["lymphocyte", "tumour"]
    assert len(document["annotations"]) == len(cells)
    assert (document["images"][0]["height"], document["images"][0]["width"]) == SHAPE


def test_mask_tiff_is_the_segmented_slide(predicted: Session, tmp_path: Path) -> None:
    path = predicted.export(tmp_path / "mask.ome.tif")
    with tifffile.TiffFile(path) as tiff:
        mask = tiff.series[0].levels[0].asarray()
        assert 'PhysicalSizeX="0.5"' in (tiff.ome_metadata or "")
    np.testing.assert_array_equal(mask, predicted.segment())
    assert mask.max() == len(predicted.predict())


def test_mask_zarr_is_the_segmented_slide(predicted: Session, tmp_path: Path) -> None:
    path = predicted.export(tmp_path / "mask.zarr")
    group = zarr.open_group(path, mode="r")
    arrays = [node for _, node in group.members(max_depth=None) if isinstance(node, zarr.Array)]
    largest = max(arrays, key=lambda array: array.size)
    np.testing.assert_array_equal(np.squeeze(largest[...]), predicted.segment())


def test_cells_of_deleted_classes_are_not_written(predicted: Session, tmp_path: Path) -> None:
    predicted.delete_class("tumour")
    found = _features(predicted.export(tmp_path / "cells.geojson"), "detection")
    assert {f["properties"]["classification"]["name"] for f in found} == {"lymphocyte"}


def test_export_after_reopening_writes_the_same(
    predicted: Session, session_dir: Path, tmp_path: Path
) -> None:
    before = predicted.export(tmp_path / "before.csv").read_text(encoding="utf-8")
    predicted.close()
    with Session.open(session_dir) as again:
        again.add_slide(make_slide())
        assert again.export(tmp_path / "after.csv").read_text(encoding="utf-8") == before


@pytest.mark.parametrize("name", ["a.geojson", "a.csv", "a.json"])
def test_unpredicted_slide_writes_what_was_said(
    clicked: Session, tmp_path: Path, name: str
) -> None:
    with pytest.warns(xce.XceWarning, match=r"only what was annotated is written.*predict\(\)"):
        clicked.export(tmp_path / name)
    text = (tmp_path / name).read_text(encoding="utf-8")
    assert text.count("lymphocyte") >= 1
    if name != "a.json":
        with Session.create(tmp_path / "other.xce") as other:
            other.add_slide(make_slide())
            assert other.import_points(tmp_path / name) == 8
            assert sorted(other.class_names) == ["cell", "lymphocyte", "tumour"]


def test_export_of_nothing_says_what_to_do(session: Session, tmp_path: Path) -> None:
    session.add_slide(make_slide())
    for name in ("a.geojson", "a.csv", "a.json", "a.ome.tif", "a.zarr"):
        with pytest.raises(xce.ExchangeError, match=r"predict\(\) first"):
            session.export(tmp_path / name)
    with pytest.raises(xce.SessionError, match="learnt nothing"):
        session.export(tmp_path / "a.safetensors")
    assert not any(path.suffix != ".xce" for path in tmp_path.iterdir())


def test_unknown_format_is_refused_before_anything_is_done(
    clicked: Session, tmp_path: Path
) -> None:
    with pytest.raises(xce.ExchangeError, match="format is unknown"):
        clicked.export(tmp_path / "cells.xlsx")


def test_export_of_the_model_brings_its_card(learnt: Session, tmp_path: Path) -> None:
    learnt.export(tmp_path / "m.safetensors")
    card = json.loads((tmp_path / "m.json").read_text(encoding="utf-8"))
    assert card["classes"] == ["lymphocyte", "tumour"]
    with pytest.raises(xce.ModelError, match="cannot be written"):
        learnt.export(tmp_path / "missing" / "m.safetensors")


# ---- in


def test_annotations_come_back_as_they_were_said(
    clicked: Session, slide: SyntheticSlide, tmp_path: Path
) -> None:
    clicked.reject([[20, 30]])
    clicked.add_mask("tumour", [[100, 100], [100, 120], [120, 120], [120, 100]])
    clicked.review(((50, 60), (200, 300)))
    with pytest.warns(xce.XceWarning, match="only what was annotated"):
        clicked.export(tmp_path / "said.geojson")
    with Session.create(tmp_path / "other.xce", classes=["Tumour"]) as other:
        other.add_slide(make_slide())
        assert other.import_points(tmp_path / "said.geojson") == 11
        said, before = other.annotations(), clicked.annotations()
        for kind in ("point", "rejection", "mask", "region"):
            mine, theirs = said.of_kind(kind), before.of_kind(kind)
            np.testing.assert_allclose(
                np.sort(mine.points, 0), np.sort(theirs.points, 0), atol=1e-3
            )
        assert set(said.of_kind("point").labels) == {"lymphocyte", "Tumour"}  # its own spelling
        assert set(said.of_kind("point").provenances) == {"imported"}
        assert set(said.of_kind("mask").provenances) == {"imported"}
        (polygon,) = said.of_kind("mask").polygons
        assert polygon is not None
        assert shapely.Polygon(polygon).area == pytest.approx(400, abs=0.1)


def test_new_class_gets_the_colour_of_the_file(session: Session, tmp_path: Path) -> None:
    feature = {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [30.5, 20.5]},
        "properties": {"classification": {"name": "Mitosis", "color": [1, 2, 3]}},
    }
    path = tmp_path / "qupath.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    session.add_slide(make_slide())
    assert session.import_points(path) == 1
    added = session.classes[-1]
    assert (added.name, added.color) == ("Mitosis", "#010203")
    np.testing.assert_allclose(session.annotations().points, [[20, 30]])


def test_points_without_a_class_become_the_first(session: Session, tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text("y_px,x_px\n10,20\n30,40\n")
    session.add_slide(make_slide())
    assert session.import_points(path) == 2
    assert session.annotations().labels.tolist() == ["lymphocyte"] * 2


def test_points_beyond_the_slide_are_left_out_with_a_note(session: Session, tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text("y_px,x_px,class\n10,20,tumour\n9000,20,stroma\n")
    session.add_slide(make_slide())
    with pytest.warns(xce.XceWarning, match="1 beyond the slide"):
        assert session.import_points(path) == 1
    assert session.class_names == ["lymphocyte", "tumour"]


def test_one_undo_takes_an_import_back_and_redo_brings_it(session: Session, tmp_path: Path) -> None:
    rows = ["10,20,tumour", "30,40,stroma", "50,60,background", "70,80,lymphocyte"]
    (tmp_path / "points.csv").write_text("\n".join(["y_px,x_px,class", *rows]))
    session.add_slide(make_slide())
    assert session.import_points(tmp_path / "points.csv") == 4
    assert session.undo() == "Import 4 annotations from points.csv"
    assert len(session.annotations()) == 0
    assert session.class_names == ["lymphocyte", "tumour"]
    session.redo()
    assert sorted(session.annotations().labels) == ["background", "lymphocyte", "stroma", "tumour"]
    assert session.class_names == ["lymphocyte", "tumour", "stroma"]


def test_bad_file_is_not_read_in(session: Session, tmp_path: Path) -> None:
    path = tmp_path / "bad.geojson"
    path.write_text("{")
    session.add_slide(make_slide())
    revision = session.store.revision
    with pytest.raises(xce.ExchangeError, match="not valid JSON"):
        session.import_points(path)
    assert session.store.revision == revision


def test_imported_points_are_learnt_from(
    session: Session, slide: SyntheticSlide, tmp_path: Path
) -> None:
    rows = [f"{y},{x},tumour" for y, x in cells_of(slide, "tumour", 5)]
    path = tmp_path / "points.csv"
    path.write_text("\n".join(["y_px,x_px,class", *rows]))
    session.add_slide(slide)
    session.import_points(path)
    session.fit(seconds=0)
    assert len(session.predict()) > 5


def test_model_and_cells_of_one_name_do_not_overwrite_each_other(
    predicted: Session, tmp_path: Path
) -> None:
    """A model has its card beside it, ``.json`` like COCO."""
    predicted.export(tmp_path / "cells.json")
    cells = (tmp_path / "cells.json").read_bytes()
    with pytest.raises(xce.ExchangeError, match="Give the model another name"):
        predicted.export(tmp_path / "cells.safetensors")
    assert (tmp_path / "cells.json").read_bytes() == cells
    for _ in range(2):  # the model itself may be written again
        predicted.export(tmp_path / "model.safetensors")
    card = (tmp_path / "model.json").read_bytes()
    with pytest.raises(xce.ExchangeError, match="Give the cells another name"):
        predicted.export(tmp_path / "model.json")
    assert (tmp_path / "model.json").read_bytes() == card


# ---- cells and areas of other programs


def test_exported_cells_come_back_as_cells(predicted: Session, tmp_path: Path) -> None:
    cells = predicted.predict()
    predicted.export(tmp_path / "cells.geojson.gz")
    with Session.create(tmp_path / "other.xce", classes=["stroma"]) as other:
        other.add_slide(make_slide())
        with pytest.warns(xce.XceWarning, match=r"Left out: 8 annotations\."):
            assert other.import_cells(tmp_path / "cells.geojson.gz") == len(cells)
        found = other.measure()
        for name in ("lymphocyte", "tumour"):
            assert found.counts[name] == (cells.labels == name).sum()
        assert found.predicted == 1
        colors = {c.name: c.color for c in other.classes}
        assert colors["tumour"] == {c.name: c.color for c in predicted.classes}["tumour"]
        assert len(other.annotations()) == 0  # nothing is learnt from them
        other.export(tmp_path / "again.geojson.gz")
    first, second = (
        _features(tmp_path / f"{n}.geojson.gz", "detection") for n in ("cells", "again")
    )

    assert sorted(map(str, (f["geometry"] for f in first))) == sorted(
        map(str, (f["geometry"] for f in second))
    )
    assert sorted(map(str, (f["properties"] for f in first))) == sorted(
        map(str, (f["properties"] for f in second))
    )


@pytest.mark.parametrize("kind", [".csv", ".json"])
def test_cells_come_back_from_tables_and_coco(
    predicted: Session, tmp_path: Path, kind: str
) -> None:
    cells = predicted.predict()
    predicted.export(tmp_path / f"cells{kind}")
    with Session.create(tmp_path / "other.xce", classes=["stroma"]) as other:
        id = other.add_slide(make_slide())
        with pytest.warns(xce.XceWarning, match="lowered"):
            assert other.import_cells(tmp_path / f"cells{kind}") == len(cells)
        back = other.predictions[id].detections.query()
        order, again = (np.lexsort(found.points.T) for found in (cells, back))
        np.testing.assert_allclose(back.points[again], cells.points[order], atol=1e-3)
        np.testing.assert_allclose(back.scores[again], cells.scores[order], atol=1e-3)
        np.testing.assert_allclose(back.diameters[again], cells.diameters[order], atol=1e-3)
        assert back.labels[again].tolist() == cells.labels[order].tolist()


def test_imported_cells_are_all_shown_whatever_their_score(
    session: Session, tmp_path: Path
) -> None:
    feature = {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [30.5, 20.5]},
        "properties": {
            "objectType": "detection",
            "classification": {"name": "tumour", "color": [1, 2, 3]},
            "measurements": {"score": 0.1},
        },
    }
    path = tmp_path / "low.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    session.add_slide(make_slide())
    with pytest.warns(xce.XceWarning, match="threshold of tumour was lowered"):
        assert session.import_cells(path) == 1
    assert session.measure().counts == {"lymphocyte": 0, "tumour": 1}


def test_file_without_cells_is_refused_and_nothing_is_lost(
    predicted: Session, tmp_path: Path
) -> None:
    path = tmp_path / "none.geojson"
    path.write_text('{"type": "FeatureCollection", "features": []}')
    count = len(predicted.predict())
    with pytest.raises(xce.ExchangeError, match="no detections or cells"):
        predicted.import_cells(path)
    with pytest.raises(xce.ExchangeError, match="no annotated polygons"):
        predicted.import_areas(path)
    assert len(predicted.predict()) == count


def test_imported_cells_take_the_heat_of_the_others_away(
    predicted: Session, tmp_path: Path
) -> None:
    """Else the slide would show from afar what was found here before, and nothing of the new."""
    found = predicted.predictions[next(iter(predicted.slides))]
    path = tmp_path / "cells.csv"
    path.write_text("y,x,class\n100,100,tumour\n", encoding="utf-8")
    predicted.import_cells(path)
    coarse = found.heat["tumour"].levels[-1]
    side = SHAPE[0] / coarse.shape[0]  # level-0 pixels of one of its pixels
    assert coarse.argmax() == coarse.shape[1] * int(100 // side) + int(100 // side)


def test_files_of_qupath_count_from_the_scanned_part(predicted: Session, tmp_path: Path) -> None:
    (slide,) = predicted.slides.values()
    cells = predicted.predict()
    slide.bounds_origin = (40.0, 100.0)  # as OpenSlide tells it of an MRXS slide
    predicted.export(tmp_path / "cells.geojson")
    xy = [f["geometry"]["coordinates"] for f in _features(tmp_path / "cells.geojson", "detection")]
    np.testing.assert_allclose(xy, cells.points[:, ::-1] + 0.5 - (100, 40), atol=1e-3)
    with pytest.warns(xce.XceWarning, match="annotations"):
        predicted.import_cells(tmp_path / "cells.geojson")
    back = predicted.predictions[next(iter(predicted.slides))].detections.query()
    np.testing.assert_allclose(
        np.sort(back.points, axis=0), np.sort(cells.points, axis=0), atol=1e-3
    )
    predicted.export(tmp_path / "cells.csv")
    with (tmp_path / "cells.csv").open() as file:
        first = next(csv.DictReader(file))
    assert [float(first["y_px"]), float(first["x_px"])] in back.points.round(3).tolist()


def test_annotated_polygon_becomes_an_area_of_its_name(session: Session, tmp_path: Path) -> None:
    square = [[[10, 20], [110, 20], [110, 220], [10, 220], [10, 20]]]
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": square},
            "properties": {"objectType": "annotation", "name": name},
        }
        for name in ("Tumor", "Tumor")
    ]
    path = tmp_path / "areas.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    session.add_slide(make_slide())
    assert session.import_areas(path) == ["Tumor", "Tumor 2"]
    assert session.areas()[0].box == (19.5, 9.5, 219.5, 109.5)
