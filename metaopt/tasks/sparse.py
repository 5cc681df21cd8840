"""Draw sparse codes of a fixed dictionary."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..arguments.contracts import Count, Matrix, Share, checked
from ..core import MetaoptError, random


@checked
@dataclass(frozen=True, eq=False)
class SparseCodes:
    """Recover sparse codes x from ``y = A x + noise``.

    Every entry of x is standard normal with probability ``share``, and 0 otherwise. ``sample`` gives the problem y
    (batch, m) and the target x (batch, n), in the precision of the dictionary.

    Args:
        dictionary: A, (m, n).
        share: Probability that an entry of x is not zero, in (0, 1].
        snr: Signal-to-noise ratio of every sample in dB, ``10 log10(|A x|^2 / |noise|^2)``. None: there is no noise.
        batch: Number of samples.

    Raises:
        MetaoptError: The dictionary is not a matrix, or the share is not in (0, 1].
    """

    dictionary: Matrix
    share: Share
    snr: float | None = None
    batch: Count = 512

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
