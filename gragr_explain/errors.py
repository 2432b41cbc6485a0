"""Every error the package raises on purpose.

Each derives from :class:`GragrError` and from the built-in exception that a reader would expect, so that
``except ValueError`` keeps working and ``except GragrError`` catches all of ours and nothing else.
"""


class GragrError(Exception):
    """Base class of all errors raised by ``gragr_explain``."""


class InvalidGraphError(GragrError, ValueError):
    """A graph or its features cannot be used: wrong shapes, indices out of range, NaN or infinite values."""


class InvalidArgumentError(GragrError, ValueError):
    """An argument has a value outside its range."""


class InvalidTypeError(GragrError, TypeError):
    """An argument is of a type that cannot be used."""


class InvalidIndexError(GragrError, IndexError):
    """An index points outside the graph or the model's outputs."""


class UnsupportedModelError(GragrError, TypeError):
    """The model is not made of ``MessagePassing`` layers, or returns something that cannot be explained."""


class TrainingError(GragrError, RuntimeError):
    """Training cannot go on, for example because the loss is not finite."""


class EditingError(GragrError, RuntimeError):
    """A model cannot be edited: nothing in it can change, no step keeps what it knows, or a number is not finite."""


class HistoryError(GragrError, ValueError):
    """A gradient history is damaged, foreign, or written by a newer version."""


class HistoryMismatchError(HistoryError):
    """A gradient history belongs to another graph."""


class CheckpointError(GragrError, ValueError):
    """A saved model is missing, damaged, foreign, or written by a newer version."""


class DatasetError(GragrError, ValueError):
    """A data set is unknown, missing or unreadable."""


class LanguageModelError(GragrError, RuntimeError):
    """A language model is missing, broken or cannot write."""


class OutputError(GragrError, OSError):
    """A result cannot be written where it was asked for."""


class ExportError(GragrError, RuntimeError):
    """A streamed export cannot go on or be read: its folder holds something else, or its workers died."""
