"""Run independent pieces of work one after another, on threads, or on a cluster, by dask."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ..arguments.checks import said
from ..core import MetaoptError
from ..foundation.extras import require

Runner = Callable[[Callable[[Any], Any], Iterable[Any]], None]
KILLED = {"KilledWorker", "BrokenProcessPool", "CommClosedError", "ClosedClientError"}  # of dask and distributed


def in_turn(work: Callable[[Any], Any], items: Iterable[Any]) -> None:
    """Do one piece of work after the other."""
    for item in items:
        work(item)


@contextmanager
def runner(workers: Any) -> Iterator[Runner]:
    """Give the function that runs pieces of work.

    Args:
        workers: None for one piece after the other; a number of threads; a ``distributed.Client``; or the address of a
            dask scheduler.

    Returns:
        A context, in which ``run(work, items)`` calls ``work(item)`` for every item, and waits for all of them.

    Raises:
        MetaoptError: These are no workers, or nobody answers at the address.
    """
    if workers is None:
        yield in_turn
    elif isinstance(workers, int) and not isinstance(workers, bool) and workers > 0:
        yield _on_threads(workers)
    elif isinstance(workers, str):
        distributed = require("distributed", "scale")
        try:
            client = distributed.Client(workers, timeout="10s")
        except (OSError, ValueError, TimeoutError) as error:
            raise MetaoptError(f"No dask scheduler answers at {workers}: {error}.") from error
        with client:
            yield _on_cluster(client)
    elif hasattr(workers, "map") and hasattr(workers, "gather"):
        yield _on_cluster(workers)
    else:
        raise MetaoptError(
            f"Workers are None, a number of threads, a distributed.Client or the address of a scheduler, not "
            f"{said(workers)}."
        )


def _on_threads(count: int) -> Runner:
    dask = require("dask", "scale")

    def run(work: Callable[[Any], Any], items: Iterable[Any]) -> None:
        tasks = [dask.delayed(work, pure=False)(item) for item in items]
        dask.compute(*tasks, scheduler="threads", num_workers=count)

    return run


def _on_cluster(client: Any) -> Runner:
    def run(work: Callable[[Any], Any], items: Iterable[Any]) -> None:
        client.gather(client.map(work, list(items), pure=False))

    return run


@contextmanager
def told(folder: Any) -> Iterator[None]:
    """Say in a sentence that a disk is full or a worker was killed, and how the run goes on.

    Args:
        folder: Where the run is stored.

    Raises:
        MetaoptError: One of these happened.
    """
    again = f"What {folder} holds of the finished steps is whole: run the same again, and it goes on after them."
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        what = f"The disk of {folder} is full" if full else f"{folder} cannot be read or written ({error})"
        raise MetaoptError(f"{what}. {again}") from error
    except Exception as error:
        if type(error).__name__ not in KILLED:
            raise
        raise MetaoptError(
            f"A worker was killed, as happens where memory is short ({error}); give smaller tiles or fewer workers. "
            f"{again}"
        ) from error
