"""Kinds of factors: what a factor graph asks of them, for whole groups of equal shape at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from ..core import MetaoptError, tree
from .given import log_potentials, whole_numbers

# Tables hold log 0 as -inf. In sums it is this number, which no sum of real log potentials comes near (LIMIT), and by
# which a gradient is never inf - inf or 0 * inf.
LOG_ZERO = -1e30
LIMIT = 1e20  # the largest log potential
DTYPES = (torch.float32, torch.float64, torch.bfloat16)
LARGEST = 2**27  # entries of one table, and states of all variables of a graph
Marginalize = Callable[[Tensor, Sequence[int]], Tensor]


def log_sum(x: Tensor, dims: Sequence[int]) -> Tensor:
    """Return log sum exp over ``dims``, as the sum-product algorithm marginalizes."""
    dims = tuple(dims)
    if not dims:
        return x
    if len(dims) == 1 and x.shape[dims[0]] == 2:
        return torch.logaddexp(*x.unbind(dims[0]))  # a third of the time
    return torch.logsumexp(x, dims)


def log_max(x: Tensor, dims: Sequence[int]) -> Tensor:
    """Return the maximum over ``dims``, as the max-product algorithm marginalizes."""
    dims = tuple(dims)
    if not dims:
        return x
    return torch.maximum(*x.unbind(dims[0])) if len(dims) == 1 and x.shape[dims[0]] == 2 else x.amax(dims)


class Factors(Protocol):
    """This protocol describes F factors of one kind and shape.

    ``variables`` is (F, a). Blocks are tensors (B, c_j, F), one for each variable j of a factor. ``scale``, a number,
    (F,) or (B, F), multiplies log f before anything is computed. ``marginalize`` is :func:`log_sum` or :func:`log_max`.
    """

    @property
    def variables(self) -> Tensor: ...

    @property
    def batch(self) -> int:
        """Return B, or 1 where all samples have the same potentials."""
        ...

    def shape(self) -> tuple[int, ...]:
        """Return the cardinality of each of the a variables."""
        ...

    def messages(self, cavities: Sequence[Tensor], scale: Any, marginalize: Marginalize) -> list[Tensor]:
        """Return the message to each variable j, up to a constant.

        It is ``scale * log f`` plus the cavities of the other variables, marginalized over these.
        """
        ...

    def log_total(self, cavities: Sequence[Tensor], scale: Any, marginalize: Marginalize) -> Tensor:
        """Return ``scale * log f`` plus all cavities, marginalized over all variables, (B, F)."""
        ...

    def expected(self, beliefs: Sequence[Tensor]) -> Tensor:
        """Return the mean of log f under independent beliefs (probabilities), (B, F); it is linear in each of them."""
        ...

    def tables(self) -> Tensor:
        """Return log f as a table, (B, c_1, ..., c_a, F)."""
        ...

    def features(self) -> Tensor:
        """Return what a network sees of each factor, (B, F, 2); see :func:`table_features`."""
        ...

    def key(self) -> Any:
        """Return a value that is equal for groups that can be :meth:`joined` to one."""
        ...

    @staticmethod
    def joined(groups: Sequence[Any]) -> Any: ...


@dataclass(frozen=True, eq=False)
class TableFactors:
    """These are F factors, each given by a table over a variables of cardinalities c_1, ..., c_a.

    Args:
        variables: (F, a), which variables each factor joins.
        log_table: (B, c_1, ..., c_a, F), log f; B = 1 serves every sample; -inf is probability zero.

    Raises:
        MetaoptError: The shapes do not fit, an entry is NaN or +inf, or a table is zero everywhere.
    """

    variables: Tensor
    log_table: Tensor

    def __post_init__(self) -> None:
        object.__setattr__(self, "variables", whole_numbers(self.variables, "The variables of factors"))
        object.__setattr__(self, "log_table", log_potentials(self.log_table, "Log tables"))
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
        return _messages(scaled(self.log_table, scale), cavities, marginalize)

    def log_total(self, cavities: Sequence[Tensor], scale: Any, marginalize: Marginalize) -> Tensor:
        table = _without(scaled(self.log_table, scale), 1, cavities[1:], marginalize)
        return marginalize(table + cavities[0], (1,))

    def expected(self, beliefs: Sequence[Tensor]) -> Tensor:
        mean = self.log_table
        for belief in reversed(beliefs):  # the last variable's axis is second to last
            mean = (mean * belief.reshape(len(belief), *[1] * (mean.ndim - 3), *belief.shape[1:])).sum(-2)
        return mean

    def tables(self) -> Tensor:
        return self.log_table

    def features(self) -> Tensor:
        return table_features(self.log_table)

    def key(self) -> Any:
        return self.shape()

    @staticmethod
    def joined(groups: Sequence[TableFactors]) -> TableFactors:
        tables = same_batch([group.log_table for group in groups])
        return TableFactors(torch.cat([g.variables for g in groups]), torch.cat(tables, dim=-1))


def _messages(table: Tensor, cavities: Sequence[Tensor], marginalize: Marginalize) -> list[Tensor]:
    """Return the messages of log tables (B, c_1, ..., c_a, F) to all of their variables.

    The variables are halved: each half sees the table without the other half, whose sum serves all of its messages. So
    the cost is that of about four passes over the table, where one sum for each variable would take a passes.
    """
    count = len(cavities)
    if count == 1:
        return [table]
    half = (count + 1) // 2
    first, last = cavities[:half], cavities[half:]
    of_first = _messages(_without(table, half, last, marginalize), first, marginalize)
    return of_first + _messages(_without(table, 0, first, marginalize), last, marginalize)


def _without(table: Tensor, axis: int, cavities: Sequence[Tensor], marginalize: Marginalize) -> Tensor:
    """Marginalize log tables over the variables from number ``axis`` on that the cavities are of, the last first."""
    for place in reversed(range(axis + 1, axis + 1 + len(cavities))):
        cavity = cavities[place - axis - 1]
        rest = [1] * (table.ndim - 2 - place)
        before = [1] * (place - 1)
        table = marginalize(
            table + cavity.reshape(len(cavity), *before, cavity.shape[1], *rest, cavity.shape[-1]), (place,)
        )
    return table


def scaled(log_table: Tensor, scale: Any) -> Tensor:
    """Multiply log tables (B, ..., F) by a number, or by one for each factor, (F,) or (B, F); log 0 becomes finite."""
    many = isinstance(scale, Tensor) and scale.ndim == 2
    finite = log_table.clamp_min(LOG_ZERO)  # without a gradient where the entry is zero
    return finite * (scale.reshape(len(scale), *[1] * (log_table.ndim - 2), scale.shape[1]) if many else scale)


def table_features(log_table: Tensor) -> Tensor:
    """Return how strongly tables (B, c_1, ..., c_a, F) couple their variables, and their share of zeros.

    The result is (B, F, 2). The strength is ``log(1 + r)``. r is the root mean square of the log table, cut off 10
    below its largest entry, after its mean along each axis is subtracted; it depends neither on the order of the states
    nor on potentials of single variables.
    """
    axes = tuple(range(1, log_table.ndim - 1))
    low = log_table - log_table.amax(axes, keepdim=True)
    rest = low.clamp_min(-10)
    for axis in axes:
        rest = rest - rest.mean(axis, keepdim=True)
    strength = (rest.square().mean(axes) + 1e-12).sqrt().log1p()
    return torch.stack([strength, (low < -100).to(low).mean(axes)], dim=-1)


def same_batch(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Expand potentials (B or 1, ...) to the same B."""
    batch = max(len(t) for t in tensors)
    return [t.expand(batch, *t.shape[1:]) for t in tensors]


def checked_log(values: Tensor, what: str) -> Tensor:
    """Return log potentials (B, ..., F), after a look at their values.

    Raises:
        MetaoptError: The potentials are not real numbers, one is NaN, +inf or beyond ``LIMIT``, or a factor is zero
            everywhere.
    """
    if not isinstance(values, Tensor) or values.dtype not in DTYPES:
        raise MetaoptError(
            f"The log of a {what} is a tensor of float32, float64 or bfloat16, but got {tree.describe(values)}."
        )
    if not values.numel():
        return values
    check_limit(values, f"log {what}")
    inner = tuple(range(1, values.ndim - 1))
    highest = values.amax(inner, keepdim=True) if inner else values
    for found, of in ((~(highest < math.inf), "holds NaN or +inf"), (highest == -math.inf, "is zero everywhere")):
        if bool(found.any()):
            sample, *_, factor = (int(i) for i in found.nonzero()[0])
            raise MetaoptError(f"The {what} of factor {factor} {of} (sample {sample}); each needs a positive entry.")
    return values


def check_limit(values: Tensor, what: str) -> None:
    """Raise if a finite log potential is so large that it could not be told from log 0."""
    most = float(torch.where(values.detach().isinf(), 0, values.detach()).abs().max()) if values.numel() else 0.0
    if most > LIMIT:
        raise MetaoptError(
            f"A {what} holds {most:g}; log potentials are at most {LIMIT:g}, and -inf is probability zero."
        )


def check_table(number: int, scope: tuple[int, ...], table: Tensor, cardinalities: Sequence[int]) -> None:
    """Raise unless log table ``number`` of a list fits its variables, is not too large, and is not zero everywhere."""
    count = len(cardinalities)
    if any(not 0 <= v < count for v in scope) or len(set(scope)) < len(scope):
        raise MetaoptError(
            f"Factor {number} joins variables {scope}; they must differ and be among the {count}, numbered from 0."
        )
    expected = tuple(cardinalities[v] for v in scope)
    if tuple(table.shape) != expected:
        raise MetaoptError(
            f"Factor {number} over variables {scope} needs a table {expected}, but got {tuple(table.shape)}."
        )
    if table.numel() > LARGEST:
        raise MetaoptError(f"Factor {number} has {table.numel()} entries; at most {LARGEST} are taken.")
    if not bool((table > -math.inf).any()) or bool(table.isnan().any()):
        raise MetaoptError(f"The table of factor {number} over variables {scope} is zero everywhere, or NaN.")
