"""Files that are either whole or not there."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gragr_explain.errors import OutputError


def check_writable(folder: str | os.PathLike[str]) -> Path:
    """Make sure that files can be written into a folder, before the work whose result goes there is begun.

    The folder is created where it is missing. Nothing else is left in it.

    Args:
        folder: Where results are going to be written.

    Returns:
        The folder, as a :class:`~pathlib.Path`.

    Raises:
        OutputError: The folder cannot be created, is not a folder, or cannot be written to.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     check_writable(Path(folder) / "new").is_dir()
        True
    """
    folder = Path(folder)
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

    Whatever goes wrong in the block, the temporary files are removed and ``paths`` stay as they were.

    Raises:
        OutputError: In place of any :class:`OSError` of the block.
    """
    temporary = [_beside(path) for path in paths]
    try:
        yield temporary
        for source, path in zip(temporary, paths, strict=True):
            os.replace(source, path)
    except OutputError:
        raise
    except OSError as error:
        places = ", ".join(f"'{path}'" for path in paths)
        raise OutputError(f"cannot write {places} ({error.strerror or error})") from error
    finally:
        for source in temporary:
            with suppress(OSError):
                source.unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
