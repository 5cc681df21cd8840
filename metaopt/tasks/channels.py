"""Send codewords through a noisy channel, and give the received log-likelihood ratios to a decoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from ..arguments.checks import check_tensor
from ..arguments.contracts import Axes, Count, Positive, Real, Share, checked
from ..core import MetaoptError, random

Basis = Annotated[Tensor, Axes("any", "(messages, bits)", finite=False)]
Range = float | tuple[float, float]  # one number, or the two that it lies between


def generator_matrix(parity: np.ndarray | Tensor) -> Tensor:
    """Return a basis of the code, that is of the words c with ``H c = 0`` over GF(2), for the parity checks H.

    The columns that no check determines hold the identity. Dependent checks give more than bits - checks messages.

    Args:
        parity: H, (checks, bits), of zeros and ones.

    Returns:
        The basis, (messages, bits) uint8.

    Raises:
        MetaoptError: H is not a matrix of zeros and ones, or its only codeword is zero.
    """
    if isinstance(parity, Tensor):
        check_tensor("The parity checks", parity, "any")
    given = np.asarray(parity)
    if given.ndim != 2 or not given.size or not np.isin(given, (0, 1)).all():
        raise MetaoptError(
            f"Parity checks are a matrix (checks, bits) of zeros and ones, not this one of {given.shape}."
        )
    reduced, pivots = _reduced(given.astype(np.uint8))
    free = np.setdiff1d(np.arange(given.shape[1]), pivots)
    if not len(free):
        raise MetaoptError(
            f"The {given.shape[0]} checks leave no codeword but zero; a code has fewer independent checks."
        )
    basis = np.zeros((len(free), given.shape[1]), np.uint8)
    basis[np.arange(len(free)), free] = 1
    basis[:, pivots] = reduced[: len(pivots), free].T
    return torch.from_numpy(basis)


def _reduced(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the reduced row echelon form over GF(2) and its pivot columns; rows are packed, 8 bits to a byte."""
    packed, pivots = np.packbits(matrix, axis=1), []
    for column in range(matrix.shape[1]):
        ones = np.flatnonzero((packed[:, column // 8] >> (7 - column % 8)) & 1)
        below = ones[ones >= len(pivots)]
        if not len(below):
            continue
        row = len(pivots)
        packed[[row, below[0]]] = packed[[below[0], row]]
        others = np.flatnonzero((packed[:, column // 8] >> (7 - column % 8)) & 1)
        packed[others[others != row]] ^= packed[row]
        pivots.append(column)
        if len(pivots) == len(matrix):
            break
    return np.unpackbits(packed, axis=1, count=matrix.shape[1]), np.array(pivots, int)


@checked
def random_codewords(basis: Basis, count: Count, generator: torch.Generator) -> Tensor:
    """Draw codewords ``m G`` over GF(2) with uniformly random messages m.

    Args:
        basis: G, (messages, bits), from :func:`generator_matrix` or :func:`~metaopt.data.read_generator`.
        count: Number of codewords.
        generator: Draws the messages.

    Returns:
        The codewords, (count, bits) uint8.
    """
    messages = torch.randint(0, 2, (count, len(basis)), generator=generator)
    return (messages.double() @ basis.double()).remainder(2).to(torch.uint8)


@checked
def awgn(codewords: Tensor, snr: float | Real, rate: Positive, generator: torch.Generator) -> Tensor:
    """Send codewords by BPSK through additive white Gaussian noise, and return their log-likelihood ratios.

    Bit c is sent as x = 1 - 2 c and received as y = x + z with z ~ N(0, sigma^2) and sigma^2 = 1 / (2 R 10^(snr / 10)).
    A bit of information takes the energy E_b = 1 / R of the 1 / R symbols that carry it, and N_0 = 2 sigma^2. The ratio
    is ``log p(y | c = 0) / p(y | c = 1) = 2 y / sigma^2``, positive for 0.

    Args:
        codewords: (n, bits) of zeros and ones.
        snr: E_b / N_0 in dB, a number, or (n,) with one for each codeword.
        rate: R, messages / bits, in (0, 1].
        generator: Draws the noise.

    Returns:
        The ratios, (n, bits) float32.

    Raises:
        MetaoptError: The rate is not in (0, 1].
    """
    return bursty(codewords, snr, rate, 0.0, 0.0, generator)


@checked
def bursty(
    codewords: Tensor,
    snr: float | Real,
    rate: Positive,
    level: float | Real,
    share: Share,
    generator: torch.Generator,
) -> Tensor:
    """Send codewords through a channel with noise bursts, and return ratios that ignore the bursts.

    The received value is ``y = x + z + p w`` (arXiv:2003.01998, section 5), with x and z as in :func:`awgn`. For each
    bit, p is 1 with probability ``share`` and 0 otherwise, and w ~ N(0, level^2). The ratios are still 2 y / sigma^2,
    as of a decoder that assumes white noise only.

    Args:
        codewords: (n, bits) of zeros and ones.
        snr: E_b / N_0 in dB, a number, or (n,) with one for each codeword.
        rate: R, messages / bits, in (0, 1].
        level: Standard deviation of the bursts, a number, or (n,) with one for each codeword.
        share: Probability of a burst at a bit (0.05 in arXiv:1906.00554).
        generator: Draws the noise and the bursts.

    Returns:
        The ratios, (n, bits) float32.

    Raises:
        MetaoptError: The rate is not in (0, 1], or the share not in [0, 1].
    """
    if not 0 < rate <= 1 or not 0 <= share <= 1:
        raise MetaoptError(f"A rate is in (0, 1] and a share of bursts in [0, 1], but got {rate} and {share}.")
    check_tensor("The codewords", codewords, "any", "(n, bits)")
    for name, value in (("snr", snr), ("level", level)):
        if isinstance(value, Tensor) and tuple(value.shape) not in ((), (1,), (len(codewords),)):
            raise MetaoptError(f"{name} is a number or ({len(codewords)},), one a codeword, not {tuple(value.shape)}.")
    shape = codewords.shape
    variance = 1 / (2 * rate * 10 ** (_column(snr) / 10))
    noise, burst = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    struck = torch.rand(shape, generator=generator, dtype=torch.float64) < share
    y = 1 - 2 * codewords.double() + variance.sqrt() * noise + struck * _column(level) * burst
    return (2 * y / variance).float()


def _column(value: float | Tensor) -> Tensor:
    return torch.as_tensor(value, dtype=torch.float64).reshape(-1, 1)


@checked
@dataclass(frozen=True, eq=False)
class ReceivedCodewords:
    """Draw random codewords of a code and send them through the channel of :func:`bursty`.

    ``sample`` gives the received ratios (batch, bits) as the problem and the codewords (batch, bits) as the target.

    Args:
        basis: (messages, bits), whose combinations over GF(2) are the codewords.
        snr: E_b / N_0 in dB. Two numbers are bounds between which each codeword draws its own uniformly.
        level: Standard deviation of the bursts, a number or two bounds.
        share: Probability of a burst at a bit.
        batch: Number of codewords in a sample.

    Raises:
        MetaoptError: The basis is not a matrix (messages, bits) with at most as many messages as bits.
    """

    basis: Basis
    snr: Range = (0.0, 4.0)
    level: Range = 0.0
    share: Share = 0.05
    batch: Count = 128

    def __post_init__(self) -> None:
        if self.basis.ndim != 2 or not 0 < len(self.basis) <= self.basis.shape[1]:
            raise MetaoptError(
                f"A code's basis is (messages, bits), of no more messages, not {tuple(self.basis.shape)}."
            )

    def sample(self, seed: int) -> tuple[Tensor, Tensor]:
        generator = random.generator(seed)
        codewords = random_codewords(self.basis, self.batch, generator)
        snr, level = (self._drawn(value, generator) for value in (self.snr, self.level))
        rate = len(self.basis) / self.basis.shape[1]
        return bursty(codewords, snr, rate, level, self.share, generator), codewords

    def _drawn(self, value: Range, generator: torch.Generator) -> Tensor:
        low, high = value if isinstance(value, Sequence) else (value, value)
        return low + (high - low) * torch.rand(self.batch, generator=generator, dtype=torch.float64)
