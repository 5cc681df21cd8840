"""The one abstraction: an iterative algorithm as three pure methods."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Literal, Protocol, TypeVar, runtime_checkable

from torch import nn

from . import tree
from .slots import slot

Problem = TypeVar("Problem")
State = TypeVar("State")
Output = TypeVar("Output")
Keep = Literal["all", "last"]


def _whole_state(problem: Any, state: Any) -> Any:
    return state


class Algorithm(nn.Module, abc.ABC, Generic[Problem, State, Output]):
    """An iterative algorithm: ``state = init(problem)``, then ``state = step(problem, state, k)`` for k = 0, 1, ...

    - ``problem`` is everything that is given: a tensor or a frozen dataclass of tensors and modules.
    - ``state`` is everything that changes: a NamedTuple (or dict, or tuple) of tensors, batch first, of constant
      structure, shapes and dtypes.
    - ``step`` is pure: it changes neither its inputs nor the module, and draws no global random number.
    - ``readout`` is what a caller, and a loss, sees of a state.

    Open places are slots (see :func:`metaopt.slot`), made in ``__init__`` and read in ``step`` as ``self.name(k)``.
    """

    @abc.abstractmethod
    def init(self, problem: Problem) -> State:
        """The state before the first step."""

    @abc.abstractmethod
    def step(self, problem: Problem, state: State, k: int) -> State:
        """The state after step ``k`` (a plain int, from 0)."""

    @abc.abstractmethod
    def readout(self, problem: Problem, state: State) -> Output:
        """What is asked for, read from a state."""

    @staticmethod
    def from_step(
        step: Callable[..., Any],
        init: Callable[[Any], Any],
        readout: Callable[[Any, Any], Any] = _whole_state,
        slots: Mapping[str, Any] | None = None,
    ) -> FunctionAlgorithm:
        """Wrap a solver that is three functions already.

        ``step(problem, state, k, **slots)`` receives each slot's value at step ``k`` by name. Without ``readout`` the
        state itself is the output.
        """
        return FunctionAlgorithm((step, init, readout), slots or {})


AnyAlgorithm = Algorithm[Any, Any, Any]


class FunctionAlgorithm(Algorithm[Any, Any, Any]):
    """What :meth:`Algorithm.from_step` returns."""

    def __init__(self, functions: tuple[Callable[..., Any], ...], slots: Mapping[str, Any]):
        super().__init__()
        self._functions, self._names = functions, tuple(slots)
        for name, content in slots.items():
            setattr(self, name, slot(content))

    def init(self, problem: Any) -> Any:
        return self._functions[1](problem)

    def step(self, problem: Any, state: Any, k: int) -> Any:
        values = {name: self._modules[name](k) for name in self._names}  # type: ignore[misc]
        return self._functions[0](problem, state, k, **values)

    def readout(self, problem: Any, state: Any) -> Any:
        return self._functions[2](problem, state)


@runtime_checkable
class Invertible(Protocol):
    """An algorithm whose step can be undone: ``inverse_step(problem, step(problem, state, k), k) == state``."""

    def inverse_step(self, problem: Any, next_state: Any, k: int) -> Any: ...


def iterate(algorithm: AnyAlgorithm, problem: Any, state: Any, ks: Sequence[int], keep: Keep) -> tuple[list[Any], Any]:
    """Run the steps ``ks`` and return (readouts after each of them, or only after the last; the final state)."""
    outputs = []
    for k in ks:
        following = algorithm.step(problem, state, k)
        tree.check_unchanged(state, following, type(algorithm).__name__, k)
        state = following
        if keep == "all":
            outputs.append(algorithm.readout(problem, state))
    if not outputs:
        outputs.append(algorithm.readout(problem, state))
    return outputs, state
