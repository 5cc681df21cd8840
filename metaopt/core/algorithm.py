"""Define the one abstraction of the library: an iterative algorithm as three pure methods."""

from __future__ import annotations

import abc
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Generic, Literal, Protocol, TypeVar, runtime_checkable

from torch import nn

from ..foundation import precision
from . import tree
from .errors import MetaoptError
from .slots import ValueSlot, slot

Problem = TypeVar("Problem")
State = TypeVar("State")
Output = TypeVar("Output")
Keep = Literal["all", "last"]
Function = Callable[..., Any]


def _whole_state(problem: Any, state: Any, k: int) -> Any:
    return state


class Algorithm(nn.Module, abc.ABC, Generic[Problem, State, Output]):
    """An algorithm iterates: ``state = init(problem)``, then ``state = step(problem, state, k)`` for k = 0, 1, ...

    - ``problem`` is everything that is given: a tensor or a frozen dataclass of tensors and modules.
    - ``state`` is everything that changes: a NamedTuple (or dict, or tuple) of tensors, batch first, of constant
      structure, shapes and dtypes.
    - ``step`` is pure: it changes neither its inputs nor the module, and draws no random number from a global
      generator.
    - ``readout`` is what a caller, and a loss, sees of the state after step ``k``.

    A subclass may add a method ``residual(problem, state, k)``, (B,), that says how far each sample is from a fixed
    point. A run to convergence then uses it instead of the change of the state.

    Whatever may be learned is a slot (see :func:`metaopt.slot`), made in ``__init__`` and read in ``step`` as
    ``self.name(k)``.

    ``trained_range``, which :func:`metaopt.models.load` sets, says what problems the weights were trained for. A run
    asks ``enter(problem, state)`` of it for these two in trained units, and for what brings results back to the units
    of the caller.
    """

    trained_range: Any = None

    @abc.abstractmethod
    def init(self, problem: Problem) -> State:
        """Return the state before the first step."""

    @abc.abstractmethod
    def step(self, problem: Problem, state: State, k: int) -> State:
        """Return the state after step ``k``, an int that counts from 0."""

    @abc.abstractmethod
    def readout(self, problem: Problem, state: State, k: int) -> Output:
        """Return the output that belongs to the state after step ``k``.

        For a state before any step, ``k`` is the number of the step before (``start - 1``), or 0.
        """

    def samples(self, problem: Problem, state: State) -> int:
        """Return how many samples a run to convergence judges separately.

        By default it is the length of the first tensor's first axis. It is 1 where the state is one whole, such as the
        features of the nodes of a graph, or the parameters of a network.
        """
        return tree.batch_of(state)

    @staticmethod
    def from_step(
        step: Function, init: Function, readout: Function = _whole_state, slots: Mapping[str, Any] | None = None
    ) -> FunctionAlgorithm:
        """Make an algorithm of a solver that already exists as functions.

        Args:
            step: A function ``step(problem, state, k, **slots)``, which receives the value of each slot at step ``k``
                by name.
            init: A function ``init(problem)`` that returns the first state.
            readout: A function ``readout(problem, state, k)`` of the state after step ``k``; by default the state
                itself.
            slots: The contents of the slots by name, as :func:`slot` takes them.

        Returns:
            The algorithm.

        Raises:
            MetaoptError: The readout does not take (problem, state, k).
        """
        _check_readout(readout, "The readout given to from_step")
        return FunctionAlgorithm((step, init, readout), {} if slots is None else slots)


AnyAlgorithm = Algorithm[Any, Any, Any]


class FunctionAlgorithm(Algorithm[Any, Any, Any]):
    """This is the algorithm that :meth:`Algorithm.from_step` returns."""

    def __init__(self, functions: tuple[Function, ...], slots: Mapping[str, Any]):
        super().__init__()
        self._functions = functions
        for name, content in slots.items():
            setattr(self, name, slot(content))

    def init(self, problem: Any) -> Any:
        return self._functions[1](problem)

    def step(self, problem: Any, state: Any, k: int) -> Any:
        values = {name: read(k) for name, read in self._modules.items() if read is not None}
        return self._functions[0](problem, state, k, **values)

    def readout(self, problem: Any, state: Any, k: int) -> Any:
        return self._functions[2](problem, state, k)


def check_algorithm(algorithm: Any, who: str) -> None:
    """Raise if ``algorithm`` is not an Algorithm, or if its readout, or that of one inside it, lacks the argument k."""
    if not isinstance(algorithm, Algorithm):
        raise MetaoptError(f"{who} needs an Algorithm, not {type(algorithm).__name__}; see Algorithm.from_step.")
    for module in algorithm.modules():
        if isinstance(module, Algorithm):
            _check_readout(module.readout, f"readout of {type(module).__name__}")


def _check_readout(readout: Function, who: str) -> None:
    try:
        inspect.signature(readout).bind(None, None, 0)
    except TypeError as error:
        what = f"is called with (problem, state, k), where k is the step just taken, but does not take them ({error})"
        raise MetaoptError(f"{who} {what}: add the argument k, which it need not use.") from error
    except ValueError:  # a builtin that does not say what it takes
        return


@runtime_checkable
class Invertible(Protocol):
    """An algorithm is invertible if ``inverse_step(problem, step(problem, state, k), k) == state``."""

    def inverse_step(self, problem: Any, next_state: Any, k: int) -> Any: ...


INPLACE = "make new tensors, as in x = x - change instead of x -= change"


def advance(algorithm: AnyAlgorithm, problem: Any, state: Any, k: int, method: str = "step") -> Any:
    """Return the state after step ``k``, or before it by the ``method`` "inverse_step".

    Raises:
        MetaoptError: The step wrote into its input or changed the state's structure.
    """
    who, tensors = type(algorithm).__name__, tree.leaves(state)
    writes = sum(map(tree.version, tensors))  # versions only grow, so the sum is the same if all are
    try:
        following = getattr(algorithm, method)(problem, state, k)
    except RuntimeError as error:
        if "in-place operation" not in str(error):  # into a leaf that requires grad, which torch refuses
            raise
        raise MetaoptError(f"{method} of {who} wrote into what it was given at k={k}; {INPLACE}.") from error
    if sum(map(tree.version, tensors)) != writes:
        raise MetaoptError(f"{method} of {who} wrote into the state it was given at k={k}; {INPLACE}.")
    if not tree.same(state, following):
        held, given = precision.numbers((algorithm, problem), ValueSlot), map(tree.leaves, (algorithm, problem))
        following = tree.fill(following, precision.narrowed(tensors, tree.leaves(following), held, given))
        tree.check_unchanged(state, following, who, k, method)
    return following


def intact(name: str, given: Any) -> Callable[[], None]:
    """Return a function that raises if a tensor of ``given``, those of modules apart, has been written into."""
    before = [(path, t, tree.version(t)) for path, t in tree.named_leaves(given, name, modules=False)]

    def check() -> None:
        if written := [path for path, tensor, version in before if tree.version(tensor) != version]:
            raise MetaoptError(f"The run wrote into {written[0]}; {INPLACE}, in step and in readout.")

    return check


def iterate(algorithm: AnyAlgorithm, problem: Any, state: Any, ks: range, keep: Keep) -> tuple[list[Any], Any]:
    """Run the steps ``ks``.

    Returns:
        The readouts after each step, or only after the last, and the final state.

    Raises:
        MetaoptError: A step writes into its input, into the problem, or into a readout that was kept.
    """
    outputs, checks = [], [intact("the problem", problem)]
    for k in ks:
        state = advance(algorithm, problem, state, k)
        if keep == "all":
            checks += [] if outputs else [intact("the state", state)]
            outputs.append(algorithm.readout(problem, state, k))
            checks += [intact("the readout", outputs[0])] if len(outputs) == 1 else []
    for check in checks:
        check()
    return outputs or [algorithm.readout(problem, state, max(0, ks.stop - 1))], state
