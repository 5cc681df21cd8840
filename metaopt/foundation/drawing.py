"""Draw from a stream of a seed where code uses torch's global generator."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import torch

from . import streams

_ONE_AT_A_TIME = threading.RLock()


@contextlib.contextmanager
def drawing_from(seed: int, *counters: int) -> Iterator[None]:
    """Draw from a stream where code in the context uses torch's global CPU generator, as networks' constructors do.

    The global generator is then restored. Those of other devices are neither read nor seeded. Threads enter one after
    the other, because the generator is that of all of them.

    Args:
        seed: As for :func:`metaopt.foundation.streams.generator`.
        counters: As for :func:`metaopt.foundation.streams.generator`.
    """
    with _ONE_AT_A_TIME:
        before = torch.get_rng_state()
        torch.set_rng_state(streams.generator(seed, *counters).get_state())
        try:
            yield
        finally:
            torch.set_rng_state(before)
