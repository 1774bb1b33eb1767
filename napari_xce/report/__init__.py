"""One page on one slide: maps, hot spots, counts, indices, the model and how good it is.

Made from plain values, without a window: as a web page in one file, or as PDF.
"""

from __future__ import annotations

from pathlib import Path

from napari_xce.errors import ExchangeError
from napari_xce.report.html import write_html
from napari_xce.report.page import NOT_MEASURED, ClassMap, Page, Quality, make_page

__all__ = ["NOT_MEASURED", "ClassMap", "Page", "Quality", "check_format", "make_page", "write"]

FORMATS = (".pdf", ".html", ".htm")


def check_format(path: str | Path) -> str:
    """Return the ending of a report's name.

    Raises
    ------
    ExchangeError
        It is none that a report can have.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise ExchangeError(f"A report is written as .pdf or .html, not {suffix or 'without one'}.")
    return suffix


def write(page: Page, path: str | Path) -> None:
    """Write a page in the format that the file's name asks for.

    Raises
    ------
    ExchangeError
        The format is unknown, or the file cannot be written; one that was there is kept.
    """
    if check_format(path) == ".pdf":
        from napari_xce.report.pdf import write_pdf  # reportlab takes a moment to import

        write_pdf(page, path)
    else:
        write_html(page, path)
