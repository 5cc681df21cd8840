"""Codewords sent through a noisy channel: what a decoder is given, and what it should find."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..core import MetaoptError, random

Range = float | tuple[float, float]


def generator_matrix(parity: np.ndarray | Tensor) -> Tensor:
    """A basis (messages, bits), uint8, of the words c with H c = 0 over GF(2), for the parity checks H (checks, bits).

    The columns that no check determines hold the identity; with dependent checks there are more than bits - checks.

    Raises: MetaoptError where H is no matrix of zeros and ones, or has only the zero word.
    """
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
    """The reduced row echelon form over GF(2), and the columns of its pivots; rows are packed, 8 bits to a byte."""
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


def random_codewords(basis: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """``count`` codewords (count, bits), uint8, each with the same probability: m G over GF(2), of random messages m.

    ``basis`` is G (messages, bits), as of `generator_matrix` or :func:`~metaopt.data.read_generator`.
    """
    messages = torch.randint(0, 2, (count, len(basis)), generator=generator)
    return (messages.double() @ basis.double()).remainder(2).to(torch.uint8)


def awgn(codewords: Tensor, snr: float | Tensor, rate: float, generator: torch.Generator) -> Tensor:
    """The log-likelihood ratios of codewords sent by BPSK through additive white Gaussian noise, float32.

    Bit c is sent as x = 1 - 2 c and received as y = x + z, z ~ N(0, sigma^2), with sigma^2 = 1 / (2 R 10^(snr / 10)): a
    bit of information takes the energy E_b = 1 / R of the 1 / R symbols that carry it, and N_0 = 2 sigma^2. The ratio
    is log p(y | c = 0) / p(y | c = 1) = 2 y / sigma^2, positive for 0.

    Args:
        codewords: (n, bits) of zeros and ones.
        snr: E_b / N_0 in dB, a number, or one for each codeword (n,).
        rate: R, messages / bits.
        generator: Draws the noise.
    """
    return bursty(codewords, snr, rate, 0.0, 0.0, generator)


def bursty(
    codewords: Tensor,
    snr: float | Tensor,
    rate: float,
    level: float | Tensor,
    share: float,
    generator: torch.Generator,
) -> Tensor:
    """As `awgn`, with bursts of which the ratios know nothing: y = x + z + p w (arXiv:2003.01998, section 5).

    p is 1 with probability ``share`` (0.05 in arXiv:1906.00554) and else 0, w ~ N(0, level^2), both drawn for each bit.
    The ratios are still 2 y / sigma^2: those of a decoder that counts on white noise only.
    """
    if not 0 < rate <= 1 or not 0 <= share <= 1:
        raise MetaoptError(f"A rate is in (0, 1] and a share of bursts in [0, 1], but got {rate} and {share}.")
    shape = codewords.shape
    variance = 1 / (2 * rate * 10 ** (_column(snr) / 10))
    noise, burst = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    struck = torch.rand(shape, generator=generator, dtype=torch.float64) < share
    y = 1 - 2 * codewords.double() + variance.sqrt() * noise + struck * _column(level) * burst
    return (2 * y / variance).float()


def _column(value: float | Tensor) -> Tensor:
    return torch.as_tensor(value, dtype=torch.float64).reshape(-1, 1)


@dataclass(frozen=True, eq=False)
class ReceivedCodewords:
    """Random codewords of a code, through the channel `bursty`. The problem is their ratios, the target the codewords.

    Args:
        basis: (messages, bits), whose combinations over GF(2) are the codewords.
        snr: E_b / N_0 in dB; two numbers: uniform between them, for each codeword anew.
        level: Standard deviation of a burst, a number or two.
        share: Probability of a burst at a bit.
        batch: Codewords in a sample.
    """

    basis: Tensor
    snr: Range = (0.0, 4.0)
    level: Range = 0.0
    share: float = 0.05
    batch: int = 128

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
        low, high = value if isinstance(value, tuple) else (value, value)
        return low + (high - low) * torch.rand(self.batch, generator=generator, dtype=torch.float64)
