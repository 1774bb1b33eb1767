"""The page on a slide: what it says, that it stands alone, that it is one page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import napari_xce as xce
from napari_xce.session import Session

from .conftest import SHAPE, make_slide


def words(path: Path) -> str:
    """Return the text of a web page."""
    page = path.read_text(encoding="utf-8")
    return re.sub(r"\s+", " ", re.sub(r"<style.*?</style>|<[^>]+>", " ", page, flags=re.S))


def test_web_page_says_what_was_counted(predicted: Session, tmp_path: Path) -> None:
    predicted.set_grades(negative="tumour", weak="lymphocyte")
    predicted.add_area(((0, 0), (200, 300)), "invasive <front>")
    predicted.report(tmp_path / "case.html")
    said, found = words(tmp_path / "case.html"), predicted.measure()
    assert found.densities is not None
    assert found.positive is not None
    assert f"tumour {found.counts['tumour']:,} {found.densities['tumour']:,.0f}" in said
    assert "invasive &lt;front&gt;" in said
    assert f"{100 * found.positive.value:.1f} %" in said
    assert "research use only" in said
    assert "Not measured No region of this slide has been reviewed." in said
    assert f"napari-xce {xce.__version__}" in said
    assert "case.xce" in said
    assert "lymphocyte 4, tumour 4" in said  # the clicks it learnt from


def test_web_page_fetches_nothing(predicted: Session, tmp_path: Path) -> None:
    predicted.report(tmp_path / "case.html")
    page = (tmp_path / "case.html").read_text(encoding="utf-8")
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert sources
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert "<script" not in page
    assert "url(" not in page
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".xce"] == ["case.html"]


def test_reviewed_region_brings_its_accuracy(predicted: Session, tmp_path: Path) -> None:
    predicted.review(((0, 0), SHAPE))
    predicted.report(tmp_path / "case.html")
    score = predicted.evaluate()["tumour"]
    said = words(tmp_path / "case.html")
    assert f"{score.recall:.2f} ({score.recall_interval[0]:.2f}" in said
    assert "All is from one region" in said  # what the dock says of the figures, too
    assert "has learnt from these regions" in said


def test_pdf_is_one_page_also_with_much_to_say(predicted: Session, tmp_path: Path) -> None:
    for number in range(9):
        predicted.add_class(f"a class with a rather long name, number {number}")
        predicted.add_area(((0, 0), (100 + number, 300)), f"area with a long name {number}")
    predicted.report(tmp_path / "case.pdf")
    content = (tmp_path / "case.pdf").read_bytes()
    assert content.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type /Page\b", content)) == 1


def test_unknown_letters_do_not_stop_the_pdf(predicted: Session, tmp_path: Path) -> None:
    predicted.rename_class("tumour", "腫瘍 <b>& опухоль")
    predicted.report(tmp_path / "case.pdf")
    predicted.report(tmp_path / "case.html")
    assert "腫瘍 &lt;b&gt;&amp; опухоль" in words(tmp_path / "case.html")


def test_unknown_pixel_size_is_said_and_gives_no_density(
    predicted: Session, tmp_path: Path
) -> None:
    (slide,) = predicted.slides.values()
    slide.mpp = None
    predicted.report(tmp_path / "case.html")
    said = words(tmp_path / "case.html")
    assert "The pixel size is unknown: there are counts" in said
    assert "per mm²" not in said


def test_report_of_nothing_says_what_to_do(session: Session, tmp_path: Path) -> None:
    session.add_slide(make_slide())
    with pytest.raises(xce.ExchangeError, match=r"predict\(\) first"):
        session.report(tmp_path / "case.pdf")
    with pytest.raises(xce.ExchangeError, match=r"written as \.pdf or \.html"):
        session.report(tmp_path / "case.docx")


def test_report_that_cannot_be_written_says_why(predicted: Session, tmp_path: Path) -> None:
    (tmp_path / "case.pdf").mkdir()
    for path, match in (("missing/case.pdf", "folder does not exist"), ("case.pdf", "in the way")):
        with pytest.raises(xce.ExchangeError, match=match):
            predicted.report(tmp_path / path)
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".part"]
