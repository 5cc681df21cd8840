"""Channels: codewords are those of the code, the noise is of the stated level, the ratios are the likelihood's."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import metaopt as mo
from metaopt.data import read_alist, read_generator
from metaopt.tasks import ReceivedCodewords, awgn, bursty, generator_matrix, random_codewords

from ..real_data import real_data

HAMMING = np.array([[1, 0, 1, 0, 1, 0, 1], [0, 1, 1, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1, 1]])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(st.integers(1, 5), st.integers(2, 9), st.integers(0, 2**31))
@settings(deadline=None, max_examples=100)
def test_the_basis_makes_exactly_the_words_that_pass_all_checks(checks: int, bits: int, seed: int) -> None:
    parity = np.random.default_rng(seed).integers(0, 2, (checks, bits))
    words = np.array(list(itertools.product([0, 1], repeat=bits)))
    passing = {tuple(word) for word in words.tolist() if not (parity @ word % 2).any()}
    if passing == {(0,) * bits}:
        with pytest.raises(mo.MetaoptError, match="no codeword but zero"):
            generator_matrix(parity)
        return
    basis = generator_matrix(parity)
    messages = np.array(list(itertools.product([0, 1], repeat=len(basis))))
    made = [tuple(word) for word in (messages @ basis.numpy().astype(int) % 2).tolist()]
    assert len(set(made)) == len(made)
    assert set(made) == passing


def test_what_is_no_parity_check_matrix_is_refused() -> None:
    for matrix in (np.array([0, 1]), np.array([[0, 2]]), np.zeros((0, 3))):
        with pytest.raises(mo.MetaoptError, match="matrix \\(checks, bits\\) of zeros and ones"):
            generator_matrix(matrix)


def test_random_codewords_are_all_of_the_code_equally_often() -> None:
    words = random_codewords(generator_matrix(HAMMING), 16_000, seeded())
    assert words.dtype == torch.uint8
    assert not (words.numpy() @ HAMMING.T % 2).any()
    counts = np.unique(words.numpy(), axis=0, return_counts=True)[1]
    assert len(counts) == 16
    assert np.abs(counts - 1000).max() < 5 * math.sqrt(1000)


@pytest.mark.parametrize(("snr", "rate"), [(0.0, 0.5), (3.0, 0.5), (2.0, 0.8)])
def test_the_error_rate_without_decoding_is_the_textbooks(snr: float, rate: float) -> None:
    """Hard decisions fail with probability Q(sqrt(2 R E_b / N_0)) (Proakis, Digital Communications)."""
    words = torch.randint(0, 2, (2000, 200), generator=seeded(1))
    ratios = awgn(words, snr, rate, seeded(2))
    share = float(((ratios < 0) != words.bool()).double().mean())
    expected = 0.5 * math.erfc(math.sqrt(rate * 10 ** (snr / 10)))
    assert abs(share - expected) < 5 * math.sqrt(expected / words.numel())


def test_the_ratios_are_calibrated() -> None:
    """Among bits of ratio near L, the share of zeros is the logistic function of L: what a ratio means."""
    words = torch.randint(0, 2, (2000, 200), generator=seeded(1))
    ratios = awgn(words, 0.0, 0.5, seeded(2))
    for level in (-2.0, -0.5, 0.0, 1.0, 3.0):
        near = (ratios - level).abs() < 0.1
        zeros = float((words[near] == 0).double().mean())
        assert abs(zeros - 1 / (1 + math.exp(-level))) < 5 * 0.5 / math.sqrt(int(near.sum())) + 0.01


def test_bursts_are_as_many_and_as_large_as_said_and_the_ratios_do_not_know() -> None:
    words = torch.zeros(2000, 200, dtype=torch.uint8)
    snr, rate, level, share = 5.0, 0.5, 3.0, 0.05
    variance = 1 / (2 * rate * 10 ** (snr / 10))
    noise = variance / 2 * bursty(words, snr, rate, level, share, seeded(3)).double() - 1
    plain = variance / 2 * awgn(words, snr, rate, seeded(3)).double() - 1
    burst = noise - plain  # the same white noise
    struck = burst.abs() > 1e-5
    assert abs(float(struck.double().mean()) - share) < 5 * math.sqrt(share / words.numel())
    assert abs(float(burst[struck].var()) / level**2 - 1) < 5 * math.sqrt(2 / int(struck.sum()))
    assert abs(float(plain.var()) / variance - 1) < 5 * math.sqrt(2 / words.numel())
    assert torch.allclose(noise[~struck], plain[~struck])
    # Kurtosis of the mixture: 3 (s^4 + share (2 s^2 b^2 + b^4)) / (s^2 + share b^2)^2.
    fourth = variance**2 + share * (2 * variance * level**2 + level**4)
    expected = 3 * fourth / (variance + share * level**2) ** 2
    assert float((noise**4).mean() / noise.var() ** 2) == pytest.approx(expected, rel=0.1)


def test_each_codeword_may_have_its_own_level() -> None:
    words = torch.zeros(2, 100_000, dtype=torch.uint8)
    ratios = awgn(words, torch.tensor([0.0, 6.0]), 1.0, seeded())
    expected = [4 * 10 ** (snr / 10) for snr in (0, 6)]  # the mean ratio is 2 / sigma^2
    assert ratios.mean(dim=1).tolist() == pytest.approx(expected, rel=0.02)


def test_impossible_channels_are_refused() -> None:
    for rate, share in [(0.0, 0.1), (1.5, 0.1), (0.5, -0.1), (0.5, 1.1)]:
        with pytest.raises(mo.MetaoptError, match=r"A rate is in|bursty needs (rate|share) to be a finite number"):
            bursty(torch.zeros(1, 1), 0.0, rate, 1.0, share, seeded())
    with pytest.raises(mo.MetaoptError, match="basis is"):
        ReceivedCodewords(torch.zeros(4, 3))


def test_a_seed_is_a_batch() -> None:
    task = ReceivedCodewords(generator_matrix(HAMMING), snr=(0.0, 4.0), level=(0.0, 5.0), batch=8)
    before = torch.get_rng_state()
    (ratios, words), (again, same), (others, _) = task.sample(5), task.sample(5), task.sample(6)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(ratios, again) and torch.equal(words, same)
    assert not torch.equal(ratios, others)
    assert ratios.shape == words.shape == (8, 7)
    assert not (words.numpy() @ HAMMING.T % 2).any()


def test_the_published_code_has_50_free_bits_and_its_generator_is_another_codes() -> None:
    generator = real_data("graphs/ldpc/mackay_96_48/G")
    parity = read_alist(generator.with_name("96.3.963"))
    basis = generator_matrix(parity)
    assert basis.shape == (50, 96)
    assert not (random_codewords(basis, 100, seeded()).numpy() @ parity.T.astype(int) % 2).any()
    published = random_codewords(torch.from_numpy(read_generator(generator)), 4000, seeded()).numpy().astype(int)
    broken = (published @ parity.T % 2).any(axis=1)
    assert abs(broken.mean() - 0.5) < 0.05
    assert not (published @ read_alist(generator.with_name("A2")).T % 2).any()
