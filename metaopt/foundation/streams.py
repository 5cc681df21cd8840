"""Derive streams of random numbers from a seed and counters, never from the global generator."""

from __future__ import annotations

import hashlib
import operator

import torch

# Where the state of torch's CPU generator holds the 624 words of the Mersenne twister, 32 bits in 8 bytes each.
WORDS = slice(24, 24 + 8 * 624)


def generator(seed: int, *counters: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return the generator of the stream that belongs to ``seed`` and ``counters``; other numbers give other streams.

    The counters say what the stream is for, as in ``generator(seed, batch, sample)``. Arithmetic with seeds would not
    do, since results coincide: ``seed + i`` is also the seed of a later batch. On the CPU the whole state of the
    generator is drawn from SHAKE-256 of the numbers, so that no two streams are equal; ``manual_seed`` would keep 32 of
    64 bits, and among 100,000 streams two would be equal with even odds. On other devices the seed has 64 bits: among a
    million streams the probability of an equal pair is 3e-8.

    Args:
        seed: A whole number of any size and sign.
        counters: Further whole numbers of any size and sign.
        device: The device of the generator.
    """
    made = torch.Generator(device).manual_seed(derive(seed, *counters))
    if made.device.type == "cpu":
        state = made.get_state()
        words = torch.frombuffer(bytearray(_hash(seed, counters, 4 * 624)), dtype=torch.int32)
        state[WORDS] = (words.long() & 0xFFFFFFFF).view(torch.uint8)
        made.set_state(state)
    return made


def derive(seed: int, *counters: int) -> int:
    """Return a seed of 63 bits that belongs to ``seed`` and ``counters``, for functions that take a single seed."""
    return int.from_bytes(_hash(seed, counters, 8), "little") >> 1


def _hash(seed: int, counters: tuple[int, ...], length: int) -> bytes:
    # operator.index refuses what is no whole number
    return hashlib.shake_256(repr([operator.index(n) for n in (seed, *counters)]).encode()).digest(length)
