"""Streams of random numbers: distinct for distinct counters, the same for the same, and nobody else's."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from metaopt.core import random
from metaopt.foundation import streams
from metaopt.foundation.drawing import drawing_from

whole = st.one_of(st.integers(-3, 3), st.integers(-(2**70), 2**70))
tuples = st.lists(whole, min_size=1, max_size=4).map(tuple)


def drawn(*numbers: int) -> list[float]:
    return torch.rand(3, generator=random.generator(*numbers)).tolist()


@given(tuples, tuples)
def test_streams_are_the_same_for_the_same_numbers_and_only_for_these(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    assert drawn(*a) == drawn(*a)
    assert (drawn(*a) == drawn(*b)) == (a == b)
    assert (random.derive(*a) == random.derive(*b)) == (a == b)
    assert 0 <= random.derive(*a) < 2**63


def test_a_hundred_thousand_streams_are_all_distinct() -> None:
    """Of 32-bit seeds about one pair of so many would be equal: more streams than tests draw, as trainings do."""
    firsts = {tuple(drawn(seed, i)) for seed, i in itertools.product(range(300), range(100))}
    assert len(firsts) == 30_000
    assert len({random.derive(seed, i) for seed, i in itertools.product(range(1000), range(100))}) == 100_000


def test_a_seed_counts_with_all_its_bits() -> None:
    plain = [torch.rand(3, generator=torch.Generator().manual_seed(s)).tolist() for s in (1, 1 + 2**32)]
    assert plain[0] == plain[1], "torch's own seed has 32 bits on the CPU"
    assert drawn(1) != drawn(1 + 2**32)


def test_the_state_is_the_hash_of_the_numbers() -> None:
    """The twister's words, read back from torch and put side by side with those of the standard library."""
    digest = hashlib.shake_256(b"[5, -1]").digest(4 * 624)
    words = random.generator(5, -1).get_state()[streams.WORDS].view(torch.int64)
    assert words.tolist() == [int.from_bytes(digest[4 * i : 4 * i + 4], "little") for i in range(624)]
    fresh = torch.Generator().manual_seed(7).get_state()[streams.WORDS].view(torch.int64)
    assert int(fresh[0]) == 7
    assert int(fresh[1]) == (1812433253 * (7 ^ (7 >> 30)) + 1) % 2**32, "so that is where torch keeps the words"


@pytest.mark.parametrize("wrong", [1.0, "1", None])
def test_what_is_no_whole_number_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
        random.generator(0, wrong)


def test_drawing_from_a_stream_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    with drawing_from(3, 1):
        first = torch.nn.Linear(2, 2).weight
    with pytest.raises(ZeroDivisionError), drawing_from(3, 2):
        raise ZeroDivisionError
    assert torch.equal(before, torch.get_rng_state())
    with drawing_from(3, 1):
        again = torch.nn.Linear(2, 2).weight
    assert torch.equal(first, again)


def test_no_generator_of_another_device_is_seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    def seeded(*_: Any) -> None:
        raise AssertionError("the generators of CUDA were seeded")

    for name in ("manual_seed", "manual_seed_all", "_lazy_call"):
        monkeypatch.setattr(torch.cuda, name, seeded)
    random.generator(3)
    with drawing_from(3):
        torch.nn.Linear(2, 2)
