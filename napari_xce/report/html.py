"""The page as a web page in one file: pictures inside, nothing fetched; prints on one A4 sheet."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from html import escape
from pathlib import Path

from PIL import Image

from napari_xce.exchange.aside import write_text
from napari_xce.report.page import RESEARCH, Page, Picture, Table

_STYLE = """
@page { size: A4; margin: 10mm; }
* { box-sizing: border-box; }
body { font: 13px/1.4 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; color: #202020;
  max-width: 980px; margin: 24px auto; padding: 0 16px; background: #fff;
  print-color-adjust: exact; -webkit-print-color-adjust: exact; }
h1 { font-size: 22px; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 13px; margin: 0 0 4px; }
.lines { color: #555; margin: 2px 0 6px; }
.research { border-left: 4px solid #c77700; background: #fff4e0; padding: 4px 8px;
  font-weight: 600; margin: 0 0 12px; }
.pictures { display: flex; gap: 10px; margin: 0 0 12px; align-items: flex-start; }
figure { margin: 0; flex: 1 1 0; min-width: 0; max-width: var(--widest); }
img { width: 100%; max-height: 300px; object-fit: contain; object-position: left top;
  display: block; }
figcaption { color: #555; font-size: 12px; overflow-wrap: anywhere; }
.tables { display: flex; flex-wrap: wrap; gap: 14px 28px; }
section { flex: 1 1 380px; min-width: 0; break-inside: avoid; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 2px 0 2px 10px; border-bottom: 1px solid #e3e3e3;
  vertical-align: top; white-space: pre-line; }
th { font-weight: 600; color: #555; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; padding-left: 0; overflow-wrap: anywhere; }
.words th, .words td { text-align: left; }
td.dotted { padding-left: 15px !important; text-indent: -15px; }
.dot { display: inline-block; width: 9px; height: 9px; border-radius: 50%; margin-right: 6px;
  border: 1px solid #0003; }
.note { color: #555; font-size: 12px; margin: 3px 0 0; }
@media print { body { margin: 0; padding: 0; max-width: none; font-size: 10.5px; }
  .pictures { margin-bottom: 8px; } img { max-height: 62mm; } .tables { gap: 8px 20px; }
  section { flex-basis: 85mm; } }
"""


def write_html(page: Page, path: str | Path) -> None:
    """Write the page; raises ExchangeError if the file cannot be written."""
    write_text(path, _pieces(page))


def _pieces(page: Page) -> Iterator[str]:
    """Yield the text of the file."""
    title = escape(page.title)
    yield '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    yield f"<title>Cell report: {title}</title>\n<style>{_STYLE}</style></head><body>\n"
    yield f"<h1>{title}</h1>\n"
    yield f'<p class="lines">{"<br>".join(map(escape, page.lines))}</p>\n'
    yield f'<p class="research">{RESEARCH}</p>\n'
    for pictures in (page.maps, page.crops):
        if pictures:
            widest = 100 / max(len(pictures), 3)
            yield f'<div class="pictures" style="--widest: {widest:.1f}%">'
            yield "".join(map(_figure, pictures)) + "</div>\n"
    yield f'<div class="tables">{"".join(map(_table, page.tables))}</div>\n'
    yield "".join(f'<p class="note">{escape(note)}</p>\n' for note in page.notes)
    yield "</body></html>\n"


def _figure(picture: Picture) -> str:
    caption = escape(picture.caption)
    return (
        f'<figure><img alt="{caption}" src="{_data_uri(picture.image)}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in table.head if table.has_head)
    body = ""
    for number, row in enumerate(table.rows):
        color = table.colors[number] if table.colors else None
        dot = f'<span class="dot" style="background:{escape(color)}"></span>' if color else ""
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        kind = ' class="dotted"' if dot else ""
        body += f"<tr><td{kind}>{dot}{escape(row[0])}</td>{cells}</tr>"
    kind = "" if table.has_head else ' class="words"'
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    return (
        f"<section><h2>{escape(table.title)}</h2><table{kind}><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table>{note}</section>"
    )


def _data_uri(image: Image.Image) -> str:
    """Return the picture as text that stands inside the page."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
