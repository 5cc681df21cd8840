"""Tell whether code is pure: what it changes, whether it repeats, which tensors it reads and its graph reaches."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._C._autograd import _top_saved_tensors_default_hooks  # which hooks pack what is saved now
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import get_device_states

from .errors import MetaoptError
from .holdings import Holdings, mark

SHAPES_ONLY = frozenset(f"{kind}_like" for kind in ("zeros", "ones", "empty", "full", "rand", "randn", "randint"))
AS_NUMBERS = frozenset({"item", "tolist", "numpy", "__float__", "__int__", "__bool__", "equal", "allclose"})
REENTRANT = "torch.utils.checkpoint with use_reentrant=True, which autograd.grad refuses; pass use_reentrant=False"
Named = Callable[[], Iterable[tuple[str, Tensor]]]


class Watch:
    """Remember what a module and tensors hold, and where torch's global generators are, to find what code changes.

    Args:
        module: A module that the code may change.
        problem: Other objects that may hold modules, which it may change as well.
        named: A function that returns the other tensors that it may write into, with their names.
    """

    def __init__(self, module: nn.Module, problem: Any, named: Named):
        self._module, self._problem, self._named = module, problem, named
        self._before, self._drawn = self._held(), self._generators()

    def change(self, draws: bool) -> str | None:
        """Return what the code did since, as the end of a sentence, or ``None``.

        Args:
            draws: Whether it may have drawn from the generators.
        """
        (before, written), (now, versions) = self._before, self._held()
        changed = [n for n in versions if versions[n] != written.get(n)]
        changed += [n for n in {**before.named, **now.named} if now.named.get(n, self) != before.named.get(n, self)]
        if changed:
            remedy = "call eval() on it, keep what changes in the state, fill a cache by a call before"
            return f"writes into '{changed[0]}', as BatchNorm does; {remedy}"
        if not draws and not all(map(torch.equal, self._drawn, self._generators())):
            return "draws from a global generator, as Dropout does; call eval() on it, draw from a stream of its own"
        return None

    def _held(self) -> tuple[Holdings, dict[str, Any]]:
        return Holdings(self._module, self._problem), {name: mark(tensor) for name, tensor in self._named()}

    def _generators(self) -> list[Tensor]:
        tensors = [*self._module.parameters(), *(tensor for _, tensor in self._named())]
        return [torch.get_rng_state(), *get_device_states(*tensors)[1]]


class Reads(TorchFunctionMode):
    """See which tensors are read in this context, also where no graph tells, such as under ``no_grad``.

    ``found`` is the name of the first of ``foreign`` that was read. ``packs`` tells whether hooks packed what the
    backward pass needs, and ``recomputes`` whether ``torch.utils.checkpoint`` did so, to compute it again. ``counts``
    tells how often each of ``known`` was read, by its identity.

    Args:
        known: Tensors that may be read.
        foreign: Names and tensors that must not be.
    """

    def __init__(self, known: Iterable[Tensor], foreign: Iterable[tuple[str, Tensor]]):
        super().__init__()
        self.counts = {id(t): 0 for t in known}
        self._names = {id(t): name for name, t in foreign if id(t) not in self.counts}
        self.found: str | None = None
        self.packs = self.recomputes = False

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        given = [id(t) for t in tensors_in((args, kwargs or {}))]
        for one in given:
            if one in self.counts:
                self.counts[one] += 1
        read = [self._names[one] for one in given if one in self._names]
        result = func(*args, **(kwargs or {}))
        called = getattr(func, "__name__", "")
        if read and self.found is None and called not in SHAPES_ONLY and not called.startswith("new_"):
            self.found = read[0] if called in AS_NUMBERS or next(tensors_in(result), None) is not None else None
        hooks = _top_saved_tensors_default_hooks(True)
        self.packs |= hooks is not None
        self.recomputes |= hooks is not None and hooks[0].__module__ == "torch.utils.checkpoint"
        return result


@contextlib.contextmanager
def ignored_warning(beginning: str) -> Iterator[None]:
    """Ignore a warning, such as torch's own when its compiler looks at parameters that were computed."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=beginning)
        yield


@contextlib.contextmanager
def packing_refused(sentence: str) -> Iterator[None]:
    """Raise an error with ``sentence`` where code in the context packs saved tensors by hooks, at no cost where not."""
    if _top_saved_tensors_default_hooks(True) is not None:  # of the caller
        yield
        return
    try:
        with torch.autograd.graph.disable_saved_tensors_hooks(sentence):
            yield
    except RuntimeError as error:
        raise (MetaoptError(sentence) if sentence in str(error) else error) from error.__cause__


def repeating_refused() -> contextlib.AbstractContextManager[Any]:
    """Return a context in which ``torch.utils.checkpoint`` fails, which would repeat code after a transform ended.

    Where a caller packs saved tensors by hooks of his own, it does nothing.
    """
    if torch.compiler.is_compiling() or _top_saved_tensors_default_hooks(True) is not None:
        return contextlib.nullcontext()
    return torch.autograd.graph.disable_saved_tensors_hooks("What vmap maps is not computed again after it.")


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Yield the tensors among the arguments or results of one of torch's functions."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from tensors_in(tuple(value.values()))
    elif isinstance(value, tuple | list):
        for item in value:
            yield from tensors_in(item)


def equal(a: Tensor, b: Tensor) -> bool:
    """Tell whether two tensors have the same shape and the same values, of which NaN is one."""
    if a.layout != torch.strided:  # which == does not compare
        a, b = a.to_dense(), b.to_dense()
    return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())


def differ(again: Sequence[Tensor], first: Sequence[Tensor]) -> bool:
    """Tell whether a tensor of ``again`` differs from that of ``first`` by more than rounding.

    Every sample, an index of the first axis, is judged by its largest entry: it may differ by the root of its
    precision, at most by 2 %. What cancels in a sample has the rounding errors of the others, which are added.
    NaN equals NaN alone, and whole numbers equal themselves.
    """
    return any(bool(_differs(a.detach(), b.detach())) for a, b in zip(again, first, strict=True) if b.numel())


def _differs(a: Tensor, b: Tensor) -> Tensor:
    same = (a == b) | (a.isnan() & b.isnan())
    if not (a.is_floating_point() or a.is_complex()):
        return ~same.all()
    eps = torch.finfo(a.dtype).eps
    wide = torch.promote_types(a.dtype, torch.float32)
    gap, size = torch.where(same, 0, a.to(wide) - b).abs(), torch.where(b.isfinite(), b.to(wide), 0).abs()
    gap, size = (t.reshape(len(t) if t.ndim else 1, -1).amax(1) for t in (gap, size))
    return ~(gap <= min(eps**0.5, 0.02) * size + min(64 * eps, 0.005) * size.amax()).all()


def nodes(outputs: Iterable[Tensor], until: Iterable[Tensor] = ()) -> Iterator[Any]:
    """Yield every node of the graph of ``outputs`` once, but none that only ``until`` depends on, nor its own."""
    seen = {torch.autograd.graph.get_gradient_edge(t).node for t in until if t.requires_grad}
    ends = dict.fromkeys(torch.autograd.graph.get_gradient_edge(t).node for t in outputs if t.requires_grad)
    pending = [node for node in ends if node not in seen]
    seen.update(ends)
    while pending:
        node = pending.pop()
        yield node
        following = [n for n, _ in getattr(node, "next_functions", ()) if n is not None and n not in seen]
        seen.update(following)
        pending.extend(following)


def leaves(outputs: Iterable[Tensor], until: Iterable[Tensor] = ()) -> Iterator[Tensor]:
    """Yield every leaf of the graph of ``outputs`` that requires grad; what is behind ``until`` is left out."""
    variables = (getattr(node, "variable", None) for node in nodes(outputs, until))
    return (v for v in variables if v is not None and v.requires_grad)


def foreign_leaf(outputs: Iterable[Tensor], allowed: Iterable[Tensor]) -> Tensor | None:
    """Return a leaf of the graph of ``outputs`` that requires grad and is not ``allowed``; ``None`` if there is none.

    An ``autograd.Function`` gives neither a gradient nor a warning to a tensor that its forward found in a closure, so
    this has to be checked.
    """
    known = {id(t) for t in allowed}
    return next((leaf for leaf in leaves(outputs) if id(leaf) not in known), None)
