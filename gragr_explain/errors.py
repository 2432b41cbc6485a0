"""Every error the package raises on purpose, and how it warns.

Each error derives from :class:`GragrError` and from the built-in exception that a reader would expect, so that
``except ValueError`` keeps working and ``except GragrError`` catches all of ours and nothing else.
"""

import sys
import warnings

_PASSED_THROUGH = {"gragr_explain", "torch", "torch_geometric", "captum", "contextlib"}


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


def warn_caller(message: str) -> None:
    """Warn at the line that called the package, be it through PyG, Captum or PyTorch.

    Python shows a warning of the same line and text once, so that one of a line of ours would be shown for the first
    model alone.

    Args:
        message: What to say.

    Example:
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warn_caller("the model was trained without edge_weight")
        >>> print(caught[0].message)
        the model was trained without edge_weight
    """
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _PASSED_THROUGH:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)
