"""The one abstraction: an iterative algorithm as three pure methods."""

from __future__ import annotations

import abc
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Generic, Literal, Protocol, TypeVar, runtime_checkable

from torch import nn

from . import tree
from .errors import MetaoptError
from .slots import slot

Problem = TypeVar("Problem")
State = TypeVar("State")
Output = TypeVar("Output")
Keep = Literal["all", "last"]
Function = Callable[..., Any]


def _whole_state(problem: Any, state: Any, k: int) -> Any:
    return state


class Algorithm(nn.Module, abc.ABC, Generic[Problem, State, Output]):
    """An iterative algorithm: ``state = init(problem)``, then ``state = step(problem, state, k)`` for k = 0, 1, ...

    - ``problem`` is everything that is given: a tensor or a frozen dataclass of tensors and modules.
    - ``state`` is everything that changes: a NamedTuple (or dict, or tuple) of tensors, batch first, of constant
      structure, shapes and dtypes.
    - ``step`` is pure: it changes neither its inputs nor the module, and draws no global random number.
    - ``readout`` is what a caller, and a loss, sees of the state that step ``k`` left.

    A method ``residual(problem, state, k)``, (B,), may say how far each sample is from a fixed point; a run to
    convergence then asks it, instead of how much the state changed.

    Open places are slots (see :func:`metaopt.slot`), made in ``__init__`` and read in ``step`` as ``self.name(k)``.
    """

    @abc.abstractmethod
    def init(self, problem: Problem) -> State:
        """The state before the first step."""

    @abc.abstractmethod
    def step(self, problem: Problem, state: State, k: int) -> State:
        """The state after step ``k`` (a plain int, from 0)."""

    @abc.abstractmethod
    def readout(self, problem: Problem, state: State, k: int) -> Output:
        """What is asked for, read from the state after step ``k``.

        Of a state before any step, ``k`` is that of the step before (``start - 1``), or 0.
        """

    def samples(self, problem: Problem, state: State) -> int:
        """How many samples a run to convergence judges apart: by default the length of the first tensor's first axis.

        It is 1 where the state is one whole, such as what the nodes of a graph know, or the parameters of a network.
        """
        return tree.batch_of(state)

    @staticmethod
    def from_step(
        step: Function, init: Function, readout: Function = _whole_state, slots: Mapping[str, Any] | None = None
    ) -> FunctionAlgorithm:
        """Wrap a solver that is three functions already.

        ``step(problem, state, k, **slots)`` receives each slot's value at step ``k`` by name, and
        ``readout(problem, state, k)`` the state that step ``k`` left; without it the state itself is the output.
        """
        _check_readout(readout, "The readout given to from_step")
        return FunctionAlgorithm((step, init, readout), slots or {})


AnyAlgorithm = Algorithm[Any, Any, Any]


class FunctionAlgorithm(Algorithm[Any, Any, Any]):
    """What :meth:`Algorithm.from_step` returns."""

    def __init__(self, functions: tuple[Function, ...], slots: Mapping[str, Any]):
        super().__init__()
        self._functions, self._names = functions, tuple(slots)
        for name, content in slots.items():
            setattr(self, name, slot(content))

    def init(self, problem: Any) -> Any:
        return self._functions[1](problem)

    def step(self, problem: Any, state: Any, k: int) -> Any:
        values = {name: self._modules[name](k) for name in self._names}  # type: ignore[misc]
        return self._functions[0](problem, state, k, **values)

    def readout(self, problem: Any, state: Any, k: int) -> Any:
        return self._functions[2](problem, state, k)


def check_algorithm(algorithm: Any, who: str) -> None:
    """Raise where ``algorithm`` is none, or one that it holds has a readout of the old form."""
    if not isinstance(algorithm, Algorithm):
        raise MetaoptError(f"{who} needs an Algorithm, not {type(algorithm).__name__}; see Algorithm.from_step.")
    for module in algorithm.modules():
        if isinstance(module, Algorithm):
            _check_readout(module.readout, f"readout of {type(module).__name__}")


def _check_readout(readout: Function, who: str) -> None:
    try:
        inspect.signature(readout).bind(None, None, 0)
    except TypeError as error:
        raise MetaoptError(
            f"{who} is called with (problem, state, k), where k is the step just taken, but does not take them "
            f"({error}): add the argument k, which it need not use."
        ) from error
    except ValueError:  # a builtin that does not say what it takes
        return


@runtime_checkable
class Invertible(Protocol):
    """An algorithm whose step can be undone: ``inverse_step(problem, step(problem, state, k), k) == state``."""

    def inverse_step(self, problem: Any, next_state: Any, k: int) -> Any: ...


def advance(algorithm: AnyAlgorithm, problem: Any, state: Any, k: int) -> Any:
    """The state after step ``k``; raises where the step wrote into the state before, or changed its structure."""
    versions = [(t, tree.version(t)) for t in tree.leaves(state)]
    following = algorithm.step(problem, state, k)
    if any(tree.version(t) != version for t, version in versions):
        remedy = "make new tensors, as in x = x - change instead of x -= change"
        raise MetaoptError(f"step of {type(algorithm).__name__} wrote into the state it was given at k={k}; {remedy}.")
    tree.check_unchanged(state, following, type(algorithm).__name__, k)
    return following


def iterate(algorithm: AnyAlgorithm, problem: Any, state: Any, ks: range, keep: Keep) -> tuple[list[Any], Any]:
    """Run the steps ``ks`` and return (readouts after each of them, or only after the last; the final state)."""
    outputs = []
    for k in ks:
        state = advance(algorithm, problem, state, k)
        if keep == "all":
            outputs.append(algorithm.readout(problem, state, k))
    if not outputs:
        outputs.append(algorithm.readout(problem, state, max(0, ks.stop - 1)))
    return outputs, state
