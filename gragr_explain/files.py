"""Files that are either whole or not there."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from gragr_explain.errors import InvalidTypeError, OutputError

_RANDOM_BYTES = 4


def as_path(place: str | os.PathLike[str]) -> Path:
    """A folder or file that is named by a string or a path.

    Raises:
        InvalidTypeError: If it is neither.
    """
    if not isinstance(place, str | os.PathLike):
        raise InvalidTypeError(f"expected a path as a string or a path-like object, got {place!r}")
    return Path(place)


def check_writable(folder: str | os.PathLike[str]) -> Path:
    """Make sure that files can be written into a folder, before the work whose result goes there is begun.

    The folder is created where it is missing. Nothing else is left in it.

    Args:
        folder: Where results are going to be written.

    Returns:
        The folder, as a :class:`~pathlib.Path`.

    Raises:
        InvalidTypeError: The folder is neither a string nor a path.
        OutputError: The folder cannot be created, is not a folder, or cannot be written to.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     check_writable(Path(folder) / "new").is_dir()
        True
    """
    folder = as_path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = _beside(folder / "probe")
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise OutputError(
            f"expected a folder that can be written to, got '{folder}' ({error.strerror or error})"
        ) from error
    return folder


@contextmanager
def atomic(*paths: Path) -> Iterator[list[Path]]:
    """Temporary files beside ``paths``, which take their places when the block ends without an error.

    Whatever goes wrong in the block, the temporary files are removed and ``paths`` stay as they were. Once it has
    ended, the files are on the disk, and a machine that loses power does not lose them. Each of several files takes its
    place by itself: of a process that is killed between two, the first may be new and the second old.

    Raises:
        OutputError: In place of any :class:`OSError` of the block.
    """
    temporary = [_beside(path) for path in paths]
    try:
        yield temporary
        for source in temporary:
            _sync(source)
        for source, path in zip(temporary, paths, strict=True):
            os.replace(source, path)
        for folder in {path.parent for path in paths}:
            _sync_folder(folder)
    except OutputError:
        raise
    except OSError as error:
        places = ", ".join(f"'{path}'" for path in paths)
        raise OutputError(f"cannot write {places} ({error.strerror or error})") from error
    finally:
        for source in temporary:
            with suppress(OSError):
                source.unlink(missing_ok=True)


@contextmanager
def locked(file: Path, kind: str, wait: float = 0) -> Iterator[None]:
    """Keep other processes from writing the same, as long as the block lasts. The lock of a process that dies is free.

    Args:
        file: What all of them lock, in the folder that they write to; it stays there.
        kind: What they write, for errors.
        wait: How many seconds to wait for another process.

    Raises:
        OutputError: If another process holds the lock, or the file cannot be locked.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, locked(Path(folder) / ".lock", "model"):
        ...     with locked(Path(folder) / ".lock", "model"):
        ...         pass
        Traceback (most recent call last):
            ...
        gragr_explain.errors.OutputError: another model is being written to '...'; wait for it
    """
    lock = FileLock(file, timeout=wait)
    try:
        lock.acquire()
    except Timeout:
        raise OutputError(f"another {kind} is being written to '{file.parent}'; wait for it") from None
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"cannot lock '{file.parent}' ({reason})") from error
    try:
        yield
    finally:
        lock.release()


def remove_leftovers(folder: Path, name: str) -> None:
    """Remove the temporary files of processes that were killed inside :func:`atomic`.

    Args:
        folder: Where the files were to be.
        name: What they were to be called, as a pattern.

    Raises:
        OutputError: One cannot be removed.
    """
    for left in folder.glob(f".{name}.{'[0-9a-f]' * 2 * _RANDOM_BYTES}.tmp"):
        try:
            left.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"cannot remove '{left}' ({error.strerror or error})") from error


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(_RANDOM_BYTES)}.tmp")


def _sync(path: Path) -> None:
    """Wait until a file is on the disk."""
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    """Wait until the list of a folder's files is on the disk, where the file system can be asked to."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
