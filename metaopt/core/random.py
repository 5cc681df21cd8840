"""Streams of random numbers that belong to a seed and counters, and never to the global generator."""

from __future__ import annotations

import contextlib
import hashlib
import operator
from collections.abc import Iterator

import torch

WORDS = slice(24, 24 + 8 * 624)  # of the state of torch's CPU generator: the Mersenne twister's, 32 bits in 8 bytes


def generator(seed: int, *counters: int, device: torch.device | str = "cpu") -> torch.Generator:
    """The stream of ``seed`` and ``counters``, whole numbers of any size and sign; others have other streams.

    Counters say what the numbers are for, as in ``generator(seed, batch, sample)``: no arithmetic with seeds, whose
    results meet (``seed + i`` is the next batch's seed). On the CPU the whole state of the generator is drawn from
    SHAKE-256 of the numbers, so that no two streams are ever equal; ``manual_seed`` would keep 32 of its 64 bits, and
    100,000 streams would have an even chance of a pair of equal ones. Elsewhere the seed has 64 bits: among a million
    streams the chance of such a pair is 3e-8.
    """
    made = torch.Generator(device).manual_seed(derive(seed, *counters))
    if made.device.type == "cpu":
        state = made.get_state()
        words = torch.frombuffer(bytearray(_hash(seed, counters, 4 * 624)), dtype=torch.int32)
        state[WORDS] = (words.long() & 0xFFFFFFFF).view(torch.uint8)
        made.set_state(state)
    return made


def derive(seed: int, *counters: int) -> int:
    """A seed of 63 bits for others that take one number, from ``seed`` and ``counters`` as :func:`generator` takes."""
    return int.from_bytes(_hash(seed, counters, 8), "little") >> 1


@contextlib.contextmanager
def drawing_from(seed: int, *counters: int) -> Iterator[None]:
    """Within, what draws from torch's global CPU generator, as constructors of networks do, draws from a stream.

    The global generator is put back as it was; those of other devices are neither read nor seeded.
    """
    before = torch.get_rng_state()
    torch.set_rng_state(generator(seed, *counters).get_state())
    try:
        yield
    finally:
        torch.set_rng_state(before)


def _hash(seed: int, counters: tuple[int, ...], length: int) -> bytes:
    numbers = [operator.index(number) for number in (seed, *counters)]  # which refuses what is no whole number
    return hashlib.shake_256(repr(numbers).encode()).digest(length)
