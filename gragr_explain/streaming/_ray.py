"""Exporting from several processes, or several machines, with Ray."""

from __future__ import annotations

import logging
import os
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.explain import Explainer

from gragr_explain import errors
from gragr_explain.arguments import check_number
from gragr_explain.errors import ExportError, GragrError
from gragr_explain.streaming._export import Export
from gragr_explain.streaming._run import Run
from gragr_explain.streaming._shards import SHARDS
from gragr_explain.streaming._stream import SHARD_SIZE, watched

_MOST_SHARDS_AT_ONCE = 8
_MOST_DEATHS = 20
_STORE = 128 * 2**20
_PATIENCE = 10.0  # seconds for a host to answer; Ray itself waits for minutes

Load = Callable[[], tuple[Explainer, Data]]
"""Loads an explainer and its graph, for example from a store that all machines share."""


def export_on_ray(
    explainer: Explainer,
    data: Data,
    folder: str | os.PathLike[str],
    index: Tensor | Sequence[int] | None = None,
    *,
    load: Load,
    workers: int,
    address: str | None = None,
    shard_size: int = SHARD_SIZE,
    top_edges: int = 10,
    top_features: int = 10,
    memory_mb: int = 512,
    overwrite: bool = False,
    progress: bool = True,
) -> Export:
    """Do what :func:`stream_export` does with several workers, on this machine or on the machines of a Ray cluster.

    The shards are a Ray data set, which is mapped by workers that have each loaded the model and the graph once. A
    worker that dies is replaced, and what it had not finished is done again; shards that are on the disk stay. Only
    where one worker after another dies and no shard is finished, the export is given up. Each worker computes with one
    thread, and writes the bytes that :func:`stream_export` with one thread writes.

    Args:
        explainer: See :func:`stream_export`.
        data: See :func:`stream_export`.
        folder: Where to write; on several machines, a folder that they share.
        index: See :func:`stream_export`.
        load: A function without arguments that returns the same explainer and graph to each worker, from where all
            machines can read them. They are on the CPU: Ray gives the workers no GPU.
        workers: How many workers, each of which holds the graph.
        address: The address of a Ray cluster, such as ``"auto"`` or ``"ray://host:10001"``. By default, one is
            started on this machine for as long as the export lasts, unless the caller has already connected to one.
        shard_size: See :func:`stream_export`.
        top_edges: See :func:`stream_export`.
        top_features: See :func:`stream_export`.
        memory_mb: See :func:`stream_export`.
        overwrite: See :func:`stream_export`.
        progress: See :func:`stream_export`.

    Raises:
        InvalidArgumentError: If ``workers`` is less than 1.
        ExportError: Beside the reasons of :func:`stream_export`, if Ray is not installed or not to be reached, if a
            worker has loaded another model or graph, or if workers die again and again.
        GragrError: Whatever else :func:`stream_export` raises.

    Example:
        >>> def load():  # what every worker calls
        ...     checkpoint = load_checkpoint("/shared/model")
        ...     return explainer_of(checkpoint.trained), load_dataset(checkpoint.dataset).data
        >>> explainer, data = load()  # doctest: +SKIP
        >>> export = export_on_ray(explainer, data, "/shared/out", load=load, workers=8)  # doctest: +SKIP
        >>> export.complete  # doctest: +SKIP
        True
    """
    check_number("workers", workers, whole=True, least=1)
    options = {"top_edges": top_edges, "top_features": top_features, "memory_mb": memory_mb}
    run = Run.plan(explainer, data, folder, index, shard_size, **options)
    with run.begun(overwrite) as todo:
        if todo:
            plan = (os.path.abspath(folder), None if index is None else run.nodes.cpu(), shard_size, options)
            job = _Job(load, plan, run.manifest.run, run.folder.absolute() / SHARDS / ".starts", workers + _MOST_DEATHS)
            with _cluster(address, workers):
                for _ in watched(_map(job, todo, workers), run.manifest, todo, progress):
                    pass
    return Export(run.folder, run.manifest)


@dataclass(frozen=True)
class _Job:
    """What a worker is told.

    Attributes:
        load: Loads the explainer and the graph.
        plan: The folder, the nodes, the size of a shard, and the options of explanations.
        run: What tells the export from others.
        starts: A file as long as the number of workers that were started since a shard was last finished.
        most_starts: How long that file may become.
    """

    load: Load
    plan: tuple[str, Tensor | None, int, dict[str, int]]
    run: str
    starts: Path
    most_starts: int


class _Worker:
    """A process that has loaded model and graph, and writes the shards that it is given."""

    def __init__(self, job: _Job) -> None:
        folder, index, shard_size, options = job.plan
        self.problem: GragrError | None = None
        try:
            with job.starts.open("a") as starts:
                starts.write(".")
                if starts.tell() > job.most_starts:
                    raise ExportError("one worker after another has died and no shard was finished")
            self.run = Run.plan(*job.load(), folder, index, shard_size, **options)
            if self.run.manifest.run != job.run:
                raise ExportError("a worker has loaded another model, graph or settings than the process that began")
        except GragrError as error:
            self.problem = error

    def __call__(self, batch: dict[str, Any]) -> Iterator[dict[str, list[Any]]]:
        """Write shards; what goes wrong on purpose is handed over, so that Ray does not try it again."""
        try:
            if self.problem is not None:
                raise self.problem
            for shard in self.run.write([int(shard) for shard in batch["item"]]):
                yield {"shard": [shard], "error": [""], "message": [""]}
        except GragrError as error:
            yield {"shard": [-1], "error": [type(error).__name__], "message": [str(error)]}


def _map(job: _Job, todo: Sequence[int], workers: int) -> Iterator[int]:
    """The shards, each once a worker has written it."""
    import ray.data

    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    at_once = max(1, min(_MOST_SHARDS_AT_ONCE, len(todo) // (2 * workers)))
    shards = ray.data.from_items(list(todo), override_num_blocks=-(-len(todo) // at_once))
    written = shards.map_batches(
        _Worker,
        fn_constructor_args=(job,),
        compute=ray.data.ActorPoolStrategy(size=min(workers, len(todo))),
        batch_size=None,
        num_cpus=1,
    )
    try:
        for row in written.iter_rows():
            if row["error"]:
                raise getattr(errors, row["error"])(row["message"])
            job.starts.unlink(missing_ok=True)
            yield row["shard"]
    except ray.exceptions.RayError as error:
        reason = next((line for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)
        raise ExportError(f"the workers of the export failed: {reason.strip()}") from error
    finally:
        job.starts.unlink(missing_ok=True)


@contextmanager
def _cluster(address: str | None, workers: int) -> Iterator[None]:
    """A connection to a cluster of Ray: the caller's, the one at an address, or one of our own."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # it warns of what Ray Data itself does
    try:
        import ray
    except ImportError as error:
        raise ExportError(
            "exporting with several workers needs the package ray; install it with: pip install 'gragr-explain[ray]'"
        ) from error
    if ray.is_initialized():
        yield
        return
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as place:
        try:
            if address is not None:
                _knock(address)
                ray.init(address, **quiet)
            else:
                ray.init(
                    num_cpus=workers,
                    include_dashboard=False,
                    object_store_memory=_STORE,
                    _temp_dir=place,
                    **quiet,
                )
        except (ConnectionError, ray.exceptions.RayError, RuntimeError, ValueError, OSError) as error:
            raise ExportError(f"cannot reach Ray: {error}") from error
        try:
            yield
        finally:
            ray.shutdown()


def _knock(address: str) -> None:
    """Raise an OSError if nobody listens at an address that names a host and a port."""
    place = urlsplit(address if "://" in address else f"//{address}")
    if place.hostname is not None and place.port is not None:
        socket.create_connection((place.hostname, place.port), _PATIENCE).close()
