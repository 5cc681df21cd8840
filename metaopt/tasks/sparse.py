"""Sparse codes of a fixed dictionary."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..core import MetaoptError, random


@dataclass(frozen=True, eq=False)
class SparseCodes:
    """y = A x + noise. Every entry of x is a standard normal number with probability ``share``, and else 0.

    ``snr`` (dB) is that of each sample, ``10 log10 |A x|^2 / |noise|^2``; None: no noise. The problem is y, (batch, m),
    the target x, (batch, n), in the dictionary's precision.
    """

    dictionary: Tensor
    share: float
    snr: float | None = None
    batch: int = 512

    def __post_init__(self) -> None:
        if self.dictionary.ndim != 2 or not 0 < self.share <= 1:
            raise MetaoptError(
                f"SparseCodes needs a dictionary (m, n) and a share in (0, 1], but got {tuple(self.dictionary.shape)} "
                f"and {self.share}."
            )

    def sample(self, seed: int) -> tuple[Tensor, Tensor]:
        generator = random.generator(seed)
        shape, dtype = (self.batch, self.dictionary.shape[1]), self.dictionary.dtype
        active = torch.rand(shape, generator=generator) < self.share
        x = active * torch.randn(shape, generator=generator, dtype=dtype)
        y = x @ self.dictionary.T
        if self.snr is not None:
            noise = torch.randn(y.shape, generator=generator, dtype=dtype)
            size = torch.linalg.vector_norm(y, dim=1, keepdim=True) / torch.linalg.vector_norm(
                noise, dim=1, keepdim=True
            )
            y = y + 10 ** (-self.snr / 20) * size * noise
        return y, x
