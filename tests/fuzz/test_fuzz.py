"""A bounded search of each reader and of the commands; ``python -m tests.fuzz --minutes 30`` searches for longer."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from . import commands, readers
from .mutations import mutated

SLOW = {"omniglot", "checkpoint", "recipe", "volume", "volume-gz", "log", "kspace-ismrmrd"}
bounded = settings(derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("reader", readers.READERS, ids=lambda reader: reader.name)
def test_the_valid_file_is_read(reader: readers.Reader) -> None:
    with readers.made(reader) as folder:
        reader.read(folder)


@pytest.mark.parametrize("reader", readers.READERS, ids=lambda reader: reader.name)
def test_whatever_is_in_a_file_there_is_a_result_or_a_sentence(reader: readers.Reader) -> None:
    with readers.made(reader) as folder:

        @settings(bounded, max_examples=12 if reader.name in SLOW else 30)
        @given(st.integers(0, 2**32))
        def search(seed: int) -> None:
            wrong = readers.attempt(reader, folder, random.Random(seed))
            assert wrong is None, f"python -m tests.fuzz --only {reader.name}: seed {seed}: {wrong}"

        search()


@settings(bounded, max_examples=25)
@given(st.integers(0, 2**32))
def test_whatever_is_asked_a_command_ends_with_a_line(seed: int) -> None:
    wrong = commands.attempt(random.Random(seed))
    assert wrong is None, wrong


def test_the_search_finds_what_it_searches_for() -> None:
    """A reader that trusts its file fails within a few inputs."""
    trusting = readers.Reader(
        "trusting", readers.text("f", "3 1 2 3"), lambda f: int((f / "f").read_bytes()[:1]), ("f",)
    )
    with readers.made(trusting) as folder:
        assert any(readers.attempt(trusting, folder, random.Random(seed)) for seed in range(50))


def test_damages_are_the_same_for_the_same_seed_and_differ_otherwise() -> None:
    data = b"MARKOV 3 2 2 2 1 2 0 1 4 1 2 3 4" * 3
    one, other = ([mutated(data, random.Random(seed)) for seed in range(40)] for _ in range(2))
    assert one == other
    assert len(set(one)) > 30
    assert all(damaged != data for damaged in one[:5])
