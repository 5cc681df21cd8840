"""Set the length, learning rate and logging of a training."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ..core import MetaoptError, random
from ..losses import step_weights
from .muon import Muon

MOST_UPDATES = 10**9  # a millisecond each, they would take 11 days
MOST = 10**6  # batches and steps of one update; a larger number is a slip

OPTIMIZERS = {"adam": torch.optim.Adam, "muon": Muon}


@dataclass(frozen=True)
class LearningRate:
    """Raise the learning rate linearly to ``peak`` in ``warmup`` updates, then lower it to ``final`` by half a cosine.

    Args:
        peak: The highest rate, positive.
        final: The rate at the end, from 0 to ``peak``.
        warmup: Number of updates of the rise. A run of fewer updates never reaches the peak.
        optimizer: ``"adam"``, or ``"muon"`` (:class:`Muon`), which brings convolutional cells of many features to the
            same loss in a third of the updates.

    Raises:
        MetaoptError: A value is of the wrong type or outside of its range, or the optimizer is unknown.
    """

    peak: float = 1e-3
    final: float = 1e-5
    warmup: int = 100
    optimizer: str = "adam"

    def __post_init__(self) -> None:
        check_number("peak", self.peak, above=True)
        check_number("final", self.final)
        if self.final > self.peak:
            raise MetaoptError(f"final, the rate at the end, is at most peak, {self.peak}, but got {self.final}.")
        check_count("warmup", self.warmup, 0, MOST_UPDATES)
        if not isinstance(self.optimizer, str) or self.optimizer not in OPTIMIZERS:
            raise MetaoptError(f"optimizer must be one of {', '.join(OPTIMIZERS)}, but got {self.optimizer!r}.")

    def at(self, update: int, updates: int) -> float:
        """Return the learning rate of an update.

        Args:
            update: The number of the update, from 0.
            updates: The number of updates in total.

        Returns:
            The rate.
        """
        if update < self.warmup:
            return self.peak * (update + 1) / self.warmup
        done = (update - self.warmup) / max(1, updates - self.warmup)
        return self.final + (self.peak - self.final) * (1 + math.cos(math.pi * min(1.0, done))) / 2


@dataclass(frozen=True)
class Settings:
    """Set how a training runs.

    Args:
        updates: Number of parameter updates in total; a resumed run continues towards the same total.
        steps: (fewest, most) unrolled steps. Every batch draws its own number, uniformly on a logarithmic scale. With
            ``Truncated(last=fewest)`` the earlier steps run without a graph, which teaches the network to stay at a
            good estimate when it is run for longer.
        rate: The learning rate and the optimizer.
        clip: Upper bound on the norm of all gradients together, positive; infinity stands for none.
        ema: Decay of the averaged weights, which are validated and saved, from 0, the last weights, to 1, where those
            after update k count about in proportion to k^9.
        batches: Number of batches whose gradients are averaged in one update, in all processes together; each draws its
            share of them one after the other. None: one in each process.
        weights: Step weights, for losses over steps that have none of their own; see
            :func:`~metaopt.losses.step_weights`.
        bfloat16: Whether convolutions and matrix products run in that precision.

    Raises:
        MetaoptError: A value is of the wrong type or outside of its range.
    """

    updates: int = 1000
    steps: tuple[int, int] = (8, 8)
    rate: LearningRate = field(default_factory=LearningRate)
    clip: float = 1.0
    ema: float = 0.999
    batches: int | None = None
    weights: str | Sequence[float] = "uniform"
    bfloat16: bool = False

    def __post_init__(self) -> None:
        check_count("updates", self.updates, most=MOST_UPDATES)
        check_count("batches", 1 if self.batches is None else self.batches, most=MOST)
        if self.clip != math.inf:
            check_number("clip", self.clip, above=True)
        check_number("ema", self.ema, most=1)
        pair = self.steps if isinstance(self.steps, list | tuple) and len(self.steps) == 2 else (0, 0)
        whole = all(isinstance(n, int) and not isinstance(n, bool) for n in pair)
        if not whole or not 1 <= pair[0] <= pair[1] <= MOST:
            raise MetaoptError(
                f"steps must be (fewest, most) with 1 <= fewest <= most <= {MOST}, but got {self.steps!r:.80}."
            )
        if not isinstance(self.rate, LearningRate):
            raise MetaoptError(f"rate must be a metaopt.training.LearningRate, but got {self.rate!r:.80}.")
        step_weights(self.weights, max(1, len(self.weights)) if isinstance(self.weights, list | tuple) else 1)
        if not isinstance(self.bfloat16, bool):
            raise MetaoptError(f"bfloat16 must be True or False, but got {self.bfloat16!r:.80}.")

    def batches_among(self, processes: int) -> int:
        """Return the number of batches of one update.

        Args:
            processes: The number of processes.

        Returns:
            The number in all processes together.
        """
        return processes if self.batches is None else self.batches

    def steps_at(self, seed: int) -> int:
        """Return the number of steps for which the batch of a seed is unrolled.

        Args:
            seed: The seed of the batch.

        Returns:
            The number of steps.
        """
        low, high = self.steps
        return min(high, int(low * ((high + 1) / low) ** (random.derive(seed) / 2**63)))


@dataclass(frozen=True)
class Watch:
    """Set how often a training logs, validates and saves.

    Args:
        log_every: Number of updates between rows of the log.
        validate_every: Number of updates between validations.
        checkpoint_every: Number of updates between checkpoints.
        batches: Number of fixed batches of a validation.

    Raises:
        MetaoptError: A value is not a positive whole number.
    """

    log_every: int = 50
    validate_every: int = 500
    checkpoint_every: int = 200
    batches: int = 8

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            check_count(name, value, most=MOST if name == "batches" else MOST_UPDATES)


def check_count(name: str, value: Any, least: int = 1, most: int | None = None) -> None:
    """Check that a setting is a whole number of a range.

    Args:
        name: The setting.
        value: What was given for it.
        least: The least number.
        most: The largest number, or None.

    Raises:
        MetaoptError: It is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise MetaoptError(f"{name} must be a whole number of at least {least}, but got {value!r:.80}.")
    if most is not None and value > most:
        shown = f"{value:,}" if value < 10**30 else "one of more than 30 digits"
        raise MetaoptError(f"{name} must be a whole number of at most {most:,}, but got {shown}.")


def check_number(name: str, value: Any, most: float = sys.float_info.max, above: bool = False) -> None:
    """Check that a setting is a finite number from 0 to ``most``.

    Args:
        name: The setting.
        value: What was given for it.
        most: The largest number.
        above: Whether 0 is refused as well.

    Raises:
        MetaoptError: It is not.
    """
    if isinstance(value, str):
        raise MetaoptError(
            f"{name} must be a number, but got the text {value!r:.80} (YAML reads 1.0e-3, but not 1e-3)."
        )
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most or (above and not value):
        kind = "positive, finite number" if above else "number that is finite and not negative"
        wanted = f"number from 0 to {most}" if most < sys.float_info.max else kind
        raise MetaoptError(f"{name} must be a {wanted}, but got {value!r:.80}.")
