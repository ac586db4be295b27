"""What can go wrong when a model is read, converted or checked."""

from __future__ import annotations


class ExportError(Exception):
    """Root of every error an export can end with; the text names the file or the setting."""


class UnsupportedModel(ExportError):
    """The source is readable but is not a T5 sentence encoder this package can write."""


class SourceInvalid(ExportError):
    """The source folder lacks a file or a tensor, or one has the wrong shape."""


class ParityMissed(ExportError):
    """The exported model differs more from its fp32 source than the bounds allow."""
