"""Kinds of factors: what a factor graph needs to know of them, whole groups of equal shape at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from ..core import MetaoptError, tree

LOG_ZERO = (
    -1e4
)  # stands for log 0: finite, so that "sum minus own" is never inf - inf; exp(LOG_ZERO) is 0 also in float64
Marginalize = Callable[[Tensor, Sequence[int]], Tensor]


def log_sum(x: Tensor, dims: Sequence[int]) -> Tensor:
    """log sum exp over ``dims``: sum-product."""
    dims = tuple(dims)
    if not dims:
        return x
    if len(dims) == 1 and x.shape[dims[0]] == 2:
        return torch.logaddexp(*x.unbind(dims[0]))  # a third of the time
    return torch.logsumexp(x, dims)


def log_max(x: Tensor, dims: Sequence[int]) -> Tensor:
    """Max over ``dims``: max-product."""
    dims = tuple(dims)
    if not dims:
        return x
    return torch.maximum(*x.unbind(dims[0])) if len(dims) == 1 and x.shape[dims[0]] == 2 else x.amax(dims)


class Factors(Protocol):
    """F factors of one kind and shape. Blocks are tensors (B, c_j, F), one for each of a factor's variables j.

    ``variables`` is (F, a); ``scale`` (a number, (F,) or (B, F)) multiplies log f before anything is computed.
    """

    variables: Tensor

    @property
    def batch(self) -> int:
        """1, where all samples have the same potentials, or B."""
        ...

    def shape(self) -> tuple[int, ...]:
        """The cardinality of each of the a variables."""
        ...

    def messages(self, cavities: Sequence[Tensor], scale: Any, marginalize: Marginalize) -> list[Tensor]:
        """To each variable j: marginalize over the others of scale log f + the others' cavities, up to a constant."""
        ...

    def log_total(self, cavities: Sequence[Tensor], scale: Any, marginalize: Marginalize) -> Tensor:
        """(B, F): marginalize over all of scale log f + all cavities."""
        ...

    def expected(self, beliefs: Sequence[Tensor]) -> Tensor:
        """(B, F): the mean of log f under independent beliefs (probabilities); linear in each of them."""
        ...

    def tables(self) -> Tensor:
        """(B, c_1, ..., c_a, F): log f as a table."""
        ...

    def numbers(self) -> Tensor:
        """(B, F, 2): what a learned part sees of each factor, see :func:`table_numbers`."""
        ...

    def key(self) -> Any:
        """Groups of equal keys can be :meth:`joined` to one."""
        ...

    @staticmethod
    def joined(groups: Sequence[Any]) -> Any: ...


@dataclass(frozen=True, eq=False)
class TableFactors:
    """F factors, each a table over a variables of cardinalities c_1, ..., c_a.

    Raises: MetaoptError where the shapes do not fit, an entry is NaN or +inf, or a table is zero everywhere.

    Args:
        variables: (F, a), which variables each factor joins.
        log_table: (B, c_1, ..., c_a, F), log f; B = 1 serves every sample; -inf is probability zero.
    """

    variables: Tensor
    log_table: Tensor

    def __post_init__(self) -> None:
        if self.variables.ndim != 2 or not 0 < self.variables.shape[1] == self.log_table.ndim - 2:
            raise MetaoptError(
                "Table factors need variables (F, a), a > 0, and tables (B, c_1, ..., c_a, F), but got "
                f"{tree.describe(self.variables)} and {tree.describe(self.log_table)}."
            )
        if self.log_table.shape[-1] != len(self.variables):
            raise MetaoptError(f"{len(self.variables)} factors came with {self.log_table.shape[-1]} tables.")
        object.__setattr__(self, "log_table", checked_log(self.log_table, "table"))

    @property
    def batch(self) -> int:
        return len(self.log_table)

    def shape(self) -> tuple[int, ...]:
        return tuple(self.log_table.shape[1:-1])

    def messages(self, cavities: Sequence[Tensor], scale: Any, marginalize: Marginalize) -> list[Tensor]:
        if len(cavities) == 1:
            return [scaled(self.log_table, scale)]
        if len(cavities) == 2:  # one sum less
            table, (first, second) = scaled(self.log_table, scale), cavities
            return [marginalize(table + second.unsqueeze(1), (2,)), marginalize(table + first.unsqueeze(2), (1,))]
        joint, axes = self._joint(cavities, scale), range(1, len(cavities) + 1)
        return [marginalize(joint, [a for a in axes if a != j]) - cavities[j - 1] for j in axes]

    def log_total(self, cavities: Sequence[Tensor], scale: Any, marginalize: Marginalize) -> Tensor:
        return marginalize(self._joint(cavities, scale), range(1, len(cavities) + 1))

    def expected(self, beliefs: Sequence[Tensor]) -> Tensor:
        mean = self.log_table
        for belief in reversed(beliefs):  # the last variable's axis is second to last
            mean = (mean * belief.reshape(len(belief), *[1] * (mean.ndim - 3), *belief.shape[1:])).sum(-2)
        return mean

    def tables(self) -> Tensor:
        return self.log_table

    def numbers(self) -> Tensor:
        return table_numbers(self.log_table)

    def key(self) -> Any:
        return self.shape()

    @staticmethod
    def joined(groups: Sequence[TableFactors]) -> TableFactors:
        tables = same_batch([group.log_table for group in groups])
        return TableFactors(torch.cat([g.variables for g in groups]), torch.cat(tables, dim=-1))

    def _joint(self, cavities: Sequence[Tensor], scale: Any) -> Tensor:
        joint = scaled(self.log_table, scale)
        for j, cavity in enumerate(cavities):
            ones = [1] * len(cavities)
            ones[j] = cavity.shape[1]
            joint = joint + cavity.reshape(len(cavity), *ones, cavity.shape[-1])
        return joint


def scaled(log_table: Tensor, scale: Any) -> Tensor:
    """Log tables (B, ..., F) times a number, or one for every factor, (F,) or (B, F)."""
    many = isinstance(scale, Tensor) and scale.ndim == 2
    return log_table * (scale.reshape(len(scale), *[1] * (log_table.ndim - 2), -1) if many else scale)


def table_numbers(log_table: Tensor) -> Tensor:
    """Of tables (B, c_1, ..., c_a, F): how strongly they join, and the share of zeros, (B, F, 2).

    The strength is log(1 + the root mean square of what is left of the log table, no less than 10 below its largest
    entry, when the mean along every axis is taken off it): it knows no order and no single variable's potential.
    """
    axes = tuple(range(1, log_table.ndim - 1))
    low = log_table - log_table.amax(axes, keepdim=True)
    rest = low.clamp_min(-10)
    for axis in axes:
        rest = rest - rest.mean(axis, keepdim=True)
    strength = (rest.square().mean(axes) + 1e-12).sqrt().log1p()
    return torch.stack([strength, (low < -100).to(low).mean(axes)], dim=-1)


def same_batch(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Potentials (B or 1, ...), all with the same B."""
    batch = max(len(t) for t in tensors)
    return [t.expand(batch, *t.shape[1:]) for t in tensors]


def checked_log(values: Tensor, what: str) -> Tensor:
    """Log potentials (B, ..., F), none below its factor's largest plus ``LOG_ZERO``; raises if there is none."""
    if not values.is_floating_point():
        raise MetaoptError(f"The log of a {what} is a real number, but got {tree.describe(values)}.")
    if not values.numel():
        return values
    inner = tuple(range(1, values.ndim - 1))
    highest = values.amax(inner, keepdim=True) if inner else values
    for found, of in ((~(highest < math.inf), "holds NaN or +inf"), (highest == -math.inf, "is zero everywhere")):
        if bool(found.any()):
            sample, *_, factor = (int(i) for i in found.nonzero()[0])
            raise MetaoptError(f"The {what} of factor {factor} {of} (sample {sample}); each needs a positive entry.")
    return torch.maximum(values, highest.detach() + LOG_ZERO)
