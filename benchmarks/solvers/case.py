"""What the benchmark needs to know of a solver."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Generator, Tensor

import metaopt as mo

Setting = Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """A solver, plain and wrapped, with a distribution of problems and the rivals that its trained form has to beat.

    - ``plain(problem, steps, **setting)``: the textbook's loop, in torch alone; returns the solution.
    - ``wrap(steps, **setting)``: the same as an ``Algorithm``; ``wrapper``: all that had to be written for it.
    - ``sample(count, generator)``: a batch of random problems. ``residual(problem, output)``: one number for each.
    - ``settings``: the classical solver's, all of which are tried at every number of steps; with ``inside(setting)``
      false for one on the edge of their grid.
    - ``openings(steps)``: the slots that training opens. ``rate``: Adam's. ``steps``: T.
    """

    name: str
    plain: Callable[..., Any]
    wrap: Callable[..., mo.Algorithm]
    wrapper: tuple[Any, ...]
    sample: Callable[[int, Generator], Any]
    residual: Callable[[Any, Any], Tensor]
    settings: Sequence[Setting]
    openings: Callable[[int], Mapping[str, Any]]
    steps: int
    rate: float
    rival: str

    @property
    def wrap_lines(self) -> int:
        """Lines of the wrapper's source that are neither blank nor a comment."""
        lines = [line.strip() for part in self.wrapper for line in inspect.getsource(part).splitlines()]
        return sum(bool(line) and not line.startswith("#") for line in lines)
