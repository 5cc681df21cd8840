"""How long, how fast and how often: what a training is told besides its network and its tasks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ..core import MetaoptError, random
from .muon import Muon

OPTIMIZERS = {"adam": torch.optim.Adam, "muon": Muon}


@dataclass(frozen=True)
class LearningRate:
    """Learning rate: a linear rise over ``warmup`` updates to ``peak``, then a half cosine down to ``final``.

    ``optimizer`` is what steps at that rate: "adam", or "muon" (:class:`Muon`), which gets convolutional cells of many
    features to the same loss in a third of the updates.
    """

    peak: float = 1e-3
    final: float = 1e-5
    warmup: int = 100
    optimizer: str = "adam"

    def __post_init__(self) -> None:
        _check_number("peak", self.peak)
        _check_number("final", self.final)
        _check_count("warmup", self.warmup, 0)
        if self.optimizer not in OPTIMIZERS:
            raise MetaoptError(f"optimizer must be one of {', '.join(OPTIMIZERS)}, but got {self.optimizer!r}.")

    def at(self, update: int, updates: int) -> float:
        if update < self.warmup:
            return self.peak * (update + 1) / self.warmup
        done = (update - self.warmup) / max(1, updates - self.warmup)
        return self.final + (self.peak - self.final) * (1 + math.cos(math.pi * min(1.0, done))) / 2


@dataclass(frozen=True)
class Settings:
    """How to train.

    - ``updates``: of the parameters, in total (a resumed run continues towards the same total).
    - ``steps``: (fewest, most) unrolled steps; every batch draws its own, uniformly on a logarithmic scale. With
      ``Truncated(last=fewest)`` the steps before are a start without a graph, which teaches the network to stay where
      it is when it is run on.
    - ``clip``: bound on the norm of all gradients together. ``ema``: decay of the averaged weights that are validated
      and shipped. ``batches``: batches whose gradients are averaged in one update.
    - ``weights``: of the steps that are differentiated, in a loss that weighs steps and has no weights of its own.
      ``bfloat16``: convolutions and matrix products in that precision.
    """

    updates: int = 1000
    steps: tuple[int, int] = (8, 8)
    rate: LearningRate = field(default_factory=LearningRate)
    clip: float = 1.0
    ema: float = 0.999
    batches: int = 1
    weights: str | Sequence[float] = "uniform"
    bfloat16: bool = False

    def __post_init__(self) -> None:
        _check_count("updates", self.updates)
        _check_count("batches", self.batches)
        _check_number("clip", self.clip)
        _check_number("ema", self.ema, most=1)
        pair = self.steps if isinstance(self.steps, list | tuple) and len(self.steps) == 2 else (0, 0)
        if not all(isinstance(n, int) for n in pair) or not 1 <= pair[0] <= pair[1]:
            raise MetaoptError(f"steps must be (fewest, most) with 1 <= fewest <= most, but got {self.steps!r}.")
        if not isinstance(self.rate, LearningRate):
            raise MetaoptError(f"rate must be a metaopt.training.LearningRate, but got {self.rate!r}.")

    def steps_at(self, seed: int) -> int:
        """How many steps the batch of that seed is unrolled for."""
        low, high = self.steps
        return min(high, int(low * ((high + 1) / low) ** (random.derive(seed) / 2**63)))


@dataclass(frozen=True)
class Watch:
    """When to look and save: a row of the log, a validation over ``batches`` fixed batches, a checkpoint."""

    log_every: int = 50
    validate_every: int = 500
    checkpoint_every: int = 200
    batches: int = 8

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            _check_count(name, value)


def _check_count(name: str, value: Any, least: int = 1) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise MetaoptError(f"{name} must be a whole number of at least {least}, but got {value!r}.")


def _check_number(name: str, value: Any, most: float = math.inf) -> None:
    if isinstance(value, str):
        raise MetaoptError(f"{name} must be a number, but got the text {value!r} (YAML reads 1.0e-3, but not 1e-3).")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise MetaoptError(f"{name} must be a number from 0 to {most}, but got {value!r}.")
