"""What the benchmark needs to know of a solver."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Generator, Tensor

import metaopt as mo

Setting = Mapping[str, Any]
SPAN = 6  # classical solvers run for this many times the learned one's steps


@dataclass(frozen=True)
class Case:
    """A solver, plain and wrapped, with a distribution of problems and the rivals that its trained form has to beat.

    - ``plain(problem, steps, **setting)``: the textbook's loop, in torch alone; returns the solution.
    - ``wrap(steps, **setting)``: the same as an ``Algorithm``. ``wrapper``: all that had to be written for it.
    - ``sample(count, generator)``: a batch of random problems. ``residual(problem, output)``: one number for each.
    - ``classical``: the settings of the textbook's solver; of several, the best is taken at every number of steps.
    - ``tuned``: a stronger rival, what hand tuning can do with the same formulas; likewise.
    - ``openings``: the slots that training opens. ``steps``: T. ``rate``: Adam's.
    """

    name: str
    plain: Callable[..., Any]
    wrap: Callable[..., mo.Algorithm]
    wrapper: type | Callable[..., Any]
    sample: Callable[[int, Generator], Any]
    residual: Callable[[Any, Any], Tensor]
    classical: Sequence[Setting]
    classical_is: str
    tuned: Sequence[Setting]
    tuned_is: str
    openings: Mapping[str, Any]
    steps: int
    rate: float

    def without(self, slot: str) -> Case:
        """The same, but that training leaves ``slot`` closed."""
        openings = {name: opening for name, opening in self.openings.items() if name != slot}
        return replace(self, name=f"{self.name}, no {slot}", openings=openings)

    @property
    def wrap_lines(self) -> int:
        """Lines of the wrapper's source that are neither blank nor a comment."""
        lines = [line.strip() for line in inspect.getsource(self.wrapper).splitlines()]
        return sum(bool(line) and not line.startswith("#") for line in lines)


def inside(setting: Setting, grid: Sequence[Setting]) -> bool:
    """Whether every number of ``setting`` lies between others of its grid (names with fewer than 3 values apart)."""
    for name, value in setting.items():
        values = [other[name] for other in grid]
        if len({repr(v) for v in values}) > 2 and value in (min(values), max(values)):
            return False
    return True
