"""The program ``napari-xce``, which the commands join."""

from __future__ import annotations

import warnings
from typing import Any, TextIO

import typer
from typer.core import TyperGroup

from napari_xce.errors import XceError, XceWarning


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
