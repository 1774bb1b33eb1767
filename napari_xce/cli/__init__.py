"""The command line."""

from napari_xce.cli.commands import app

__all__ = ["app"]
