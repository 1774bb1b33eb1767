"""The page as PDF, one A4 sheet, laid out with reportlab."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfbase.ttfonts import TTFError, TTFont
from reportlab.platypus import Image as PlatypusImage
from reportlab.platypus import (
    KeepInFrame,
    Paragraph,
    SimpleDocTemplate,
    Spacer,
)
from reportlab.platypus import Table as PlatypusTable

from napari_xce.exchange.aside import file_aside
from napari_xce.report.page import RESEARCH, Page, Picture, Table

_MARGIN = 12 * mm
_WIDTH, _HEIGHT = A4[0] - 2 * _MARGIN, A4[1] - 2 * _MARGIN
_PADDING = 6  # points that reportlab's frame has around what is in it
_GAP = 4 * mm
_HIGHEST = 62 * mm  # of a picture
_MOST_COLUMNS = 5  # of a table that fits half the sheet
_GREY, _LINE = HexColor("#555555"), HexColor("#dddddd")
# With the letters of most languages; reportlab looks for them where systems keep their fonts.
_WIDE_FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "Arial Unicode.ttf", "arial.ttf")


def write_pdf(page: Page, path: str | Path) -> None:
    """Write the page; raises ExchangeError if the file cannot be written.

    Notes
    -----
    What does not fit on the sheet is made smaller as a whole. Letters beyond those of Western
    Europe need a font of the system (DejaVu, Noto or Arial); where a font lacks them they become
    "?" or boxes.
    """
    fonts = _Fonts(_all_words(page))
    sheet = KeepInFrame(_WIDTH, _HEIGHT, _flowables(page, fonts), mode="shrink")
    with file_aside(path) as aside:
        document = SimpleDocTemplate(
            str(aside),
            pagesize=A4,
            leftMargin=_MARGIN - _PADDING,
            rightMargin=_MARGIN - _PADDING,
            topMargin=_MARGIN - _PADDING,
            bottomMargin=_MARGIN - _PADDING,
            title=f"Cell report: {page.title}",
            author="napari-xce",
            invariant=True,
        )
        document.build([sheet])


class _Fonts:
    """Which fonts to write with, and how to write what they lack."""

    def __init__(self, words: str) -> None:
        self.plain, self.bold = "Helvetica", "Helvetica-Bold"
        self._narrow = True
        if not _is_western(words):
            self._look_for_wide()

    def _look_for_wide(self) -> None:
        for name in _WIDE_FONTS:
            try:
                pdfmetrics.registerFont(TTFont("wide", name))
            except (TTFError, OSError):
                continue
            self.plain = self.bold = "wide"
            self._narrow = False
            return

    def text(self, words: str) -> str:
        """Return words as reportlab's markup."""
        if self._narrow:
            words = words.encode("cp1252", "replace").decode("cp1252")
        return escape(words).replace("\n", "<br/>")

    def paragraph(
        self,
        words: str,
        size: float = 8,
        color: Any = None,
        bold: bool = False,
        right: bool = False,
    ) -> Paragraph:
        """Return words that are wrapped where they are put."""
        style = ParagraphStyle(
            "text",
            fontName=self.bold if bold else self.plain,
            fontSize=size,
            leading=size * 1.25,
            textColor=color or HexColor("#202020"),
            alignment=2 if right else 0,
        )
        return Paragraph(self.text(words), style)


def _is_western(words: str) -> bool:
    try:
        words.encode("cp1252")
    except UnicodeEncodeError:
        return False
    return True


def _all_words(page: Page) -> str:
    """Return every word of the page."""
    cells = (cell for table in page.tables for row in (table.head, *table.rows) for cell in row)
    captions = (picture.caption for picture in (*page.maps, *page.crops))
    return "".join((page.title, *page.lines, *cells, *captions, *page.notes))


def _flowables(page: Page, fonts: _Fonts) -> list[Any]:
    """Return the page from top to bottom."""
    parts: list[Any] = [fonts.paragraph(page.title, 15, bold=True), Spacer(0, 1.5 * mm)]
    parts += [fonts.paragraph(line, 8, _GREY) for line in page.lines]
    parts += [Spacer(0, 1.5 * mm), _research(fonts), Spacer(0, 2.5 * mm)]
    for pictures in (page.maps, page.crops):
        if pictures:
            parts += [_row_of_pictures(pictures, fonts), Spacer(0, 2 * mm)]
    wide = [table for table in page.tables if len(table.head) > _MOST_COLUMNS]
    for table in wide:
        parts += [_table(table, _WIDTH, fonts), Spacer(0, 2.5 * mm)]
    parts.append(_two_columns([t for t in page.tables if t not in wide], fonts))
    parts += [fonts.paragraph(note, 7.5, _GREY) for note in page.notes]
    return parts


def _research(fonts: _Fonts) -> PlatypusTable:
    words = fonts.paragraph(RESEARCH, 8.5, bold=True)
    made = PlatypusTable([[words]], colWidths=[_WIDTH], hAlign="LEFT")
    made.setStyle(
        [
            ("BACKGROUND", (0, 0), (-1, -1), HexColor("#fff4e0")),
            ("LINEBEFORE", (0, 0), (0, -1), 3, HexColor("#c77700")),
            ("TOPPADDING", (0, 0), (-1, -1), 2),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
        ]
    )
    return made


def _row_of_pictures(pictures: tuple[Picture, ...], fonts: _Fonts) -> PlatypusTable:
    """Return pictures side by side, each with its caption."""
    count = max(len(pictures), 3)
    width = (_WIDTH - (count - 1) * _GAP) / count
    images = [_image(picture, width) for picture in pictures]
    captions = [fonts.paragraph(picture.caption, 7.5, _GREY) for picture in pictures]
    empty = [""] * (count - len(pictures))
    made = PlatypusTable(
        [images + empty, captions + empty],
        colWidths=[width + _GAP] * (count - 1) + [width],
        hAlign="LEFT",
    )
    made.setStyle(
        [
            ("LEFTPADDING", (0, 0), (-1, -1), 0),
            ("RIGHTPADDING", (0, 0), (-1, -1), 0),
            ("RIGHTPADDING", (0, 0), (-2, -1), _GAP),
            ("TOPPADDING", (0, 0), (-1, -1), 0),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 1),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ]
    )
    return made


def _image(picture: Picture, width: float) -> PlatypusImage:
    """Return a picture as wide as the column, or as high as it may be."""
    stream = io.BytesIO()
    picture.image.save(stream, "JPEG", quality=88)
    stream.seek(0)
    across, down = picture.image.size
    scale = min(width / across, _HIGHEST / down)
    return PlatypusImage(stream, across * scale, down * scale, hAlign="LEFT")


def _two_columns(tables: Sequence[Table], fonts: _Fonts) -> PlatypusTable:
    """Return the tables in two columns, the next one below the shorter column."""
    width = (_WIDTH - 2 * _GAP) / 2
    columns: list[list[Any]] = [[], []]
    heights = [0.0, 0.0]
    for table in tables:
        shorter = heights.index(min(heights))
        laid_out = _table(table, width, fonts)
        columns[shorter] += [laid_out, Spacer(0, 2.5 * mm)]
        heights[shorter] += laid_out.wrap(width, _HEIGHT)[1] + 2.5 * mm
    made = PlatypusTable([columns], colWidths=[width + 2 * _GAP, width], hAlign="LEFT")
    made.setStyle(
        [
            ("LEFTPADDING", (0, 0), (-1, -1), 0),
            ("RIGHTPADDING", (0, 0), (-1, -1), 0),
            ("RIGHTPADDING", (0, 0), (0, -1), 2 * _GAP),
            ("TOPPADDING", (0, 0), (-1, -1), 0),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 0),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ]
    )
    return made


def _widths(table: Table, width: float, fonts: _Fonts) -> list[float]:
    """Return the widths of the columns: numbers get what they need, names what is left."""
    if not table.has_head or len(table.head) < 2:
        return [width * 0.4, width * 0.6][: len(table.head)] if len(table.head) > 1 else [width]
    needed = [
        max(stringWidth(line, fonts.bold, 8) for cell in column for line in cell.split("\n")) + 9
        for column in zip(table.head, *table.rows, strict=True)
    ][1:]
    most = 0.75 * width  # the rest is for names, which may be broken
    shrink = min(1.0, most / sum(needed))
    needed = [each * shrink for each in needed]
    return [width - sum(needed), *needed]


def _table(table: Table, width: float, fonts: _Fonts) -> PlatypusTable:
    """Return a table with its title above and its note below."""
    columns = len(table.head)
    words = not table.has_head
    head = [
        fonts.paragraph(cell, 7.5, _GREY, bold=True, right=number > 0 and not words)
        for number, cell in enumerate(table.head)
    ]
    body = []
    for number, row in enumerate(table.rows):
        color = table.colors[number] if table.colors else None
        first = fonts.paragraph(row[0], 8)
        if color:
            dot = f'<font name="ZapfDingbats" color="{color}" size="6">l</font> '
            first = Paragraph(dot + fonts.text(row[0]), first.style)
        body.append([first, *(fonts.paragraph(cell, 8, right=not words) for cell in row[1:])])
    title = [fonts.paragraph(table.title, 9, bold=True), *[""] * (columns - 1)]
    rows = [title, *([head] if table.has_head else []), *body]
    if table.note:
        rows.append([fonts.paragraph(table.note, 7, _GREY), *[""] * (columns - 1)])
    made = PlatypusTable(rows, colWidths=_widths(table, width, fonts), hAlign="LEFT")
    last = len(rows) - 1 - bool(table.note)
    style: list[tuple[Any, ...]] = [
        ("SPAN", (0, 0), (-1, 0)),
        ("LINEBELOW", (0, 1 if table.has_head else 0), (-1, last), 0.4, _LINE),
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
        ("RIGHTPADDING", (0, 0), (-1, -1), 2),
        ("TOPPADDING", (0, 0), (-1, -1), 1),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 1.5),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ]
    if table.has_head:
        style.append(("VALIGN", (0, 1), (-1, 1), "BOTTOM"))
    if table.note:
        style.append(("SPAN", (0, -1), (-1, -1)))
    made.setStyle(style)
    return made
