"""What can go wrong, in words: each error says what is wrong and what to do, fit to be shown."""

from __future__ import annotations


class XceError(Exception):
    """Base of all errors napari-xce raises on purpose; its text is fit to be shown to a user."""


class SlideError(XceError):
    """A slide cannot be opened, or what it holds cannot be read."""


class SessionError(XceError):
    """A session, or something it was asked to hold, is not as it must be."""


class ModelError(XceError):
    """A model file is missing, damaged or of another kind."""


class ExchangeError(XceError):
    """A file cannot be written, or what it holds cannot be read in."""


class XceWarning(UserWarning):
    """Something was assumed that the user should know of."""
