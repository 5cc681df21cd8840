"""Slots are named places in an algorithm that hold a number, a tensor or a module, and may be learned."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

from ..foundation import precision
from ..foundation.assigning import assign, assigned
from ..foundation.constraints import as_number, check_value, constrained
from ..foundation.shadows import LAZY, deepcopy
from ..foundation.words import said
from . import tree
from .errors import MetaoptError
from .openings import BOUNDLESS, Opening, fixed

Module = TypeVar("Module", bound=nn.Module)
LOCK = threading.RLock()  # functional_call changes the template during the call, and threads may share it


class ValueSlot(nn.Module):
    """This slot holds a number or a tensor.

    Numbers are tensors without axes in float64, as Python's are, so that arithmetic among them (``1 - beta ** k``)
    loses nothing, and so that they are exact for x in float64. Having no axes they never promote x. What is stacked or
    expanded of them would: give it the precision of x by ``slot(k).to(x)``; a run keeps that of its state in any case.
    ``module.float()`` makes them float32, as does moving them to a device without float64; they are never narrower,
    since 1e-8 is 0 in float16.

    Under a constraint the value is a function of an unconstrained parameter ``raw``, which starts at 0 and then gives
    exactly the starting value: ``value * exp(raw)`` for ``positive``, and for ``interval`` the value plus a tanh on
    either side of it, which is twice continuously differentiable.
    """

    base: Tensor
    check: Callable[[Tensor], Any] | None = None  # of what fills the slot, not of what is learned

    def __init__(self, opening: Opening):
        super().__init__()
        value = _as_tensor(opening)
        bounds = (0.0, BOUNDLESS) if opening.positive else opening.interval
        check_value(value, opening.learned, bounds)
        self.steps, self._interval = opening.steps, bounds and (float(bounds[0]), float(bounds[1]))
        if not opening.learned:
            self.register_buffer("value", value)
        elif self._interval:
            self.register_buffer("base", value)
            self.raw = nn.Parameter(torch.zeros_like(value))
        else:
            self.value = nn.Parameter(value)

    def forward(self, k: int) -> Tensor:
        _check_step(self.steps, k)
        return self._read(lambda t: t if self.steps is None else t[k])

    def content(self) -> Any:
        value = self._read(lambda t: t).detach()
        return value if self.steps is None else list(value)

    def _read(self, at: Callable[[Tensor], Tensor]) -> Tensor:
        if not self._interval:
            return at(self.value)
        return constrained(at(self.base), at(self.raw), *self._interval)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> ValueSlot:
        factor = self._buffers.get("base") if self._interval and self._interval[1] == BOUNDLESS else None
        number = self.steps is not None
        return super()._apply(lambda t: precision.moved(fn, t, t.ndim == number, t is factor), recurse)


class ModuleSlot(nn.Module):
    """This slot holds one module for all steps.

    A module that differs from step to step, such as one with slots of its own, has a method ``at_step(k)``, and reading
    the slot at k returns its result. Any other module is returned as it is.
    """

    steps = None

    def __init__(self, opening: Opening):
        super().__init__()
        self.module = opening.value

    def forward(self, k: int) -> Any:
        return self.module.at_step(k) if hasattr(self.module, "at_step") else self.module

    def content(self) -> nn.Module:
        return self.module


class StackedSlot(nn.Module):
    """This slot holds one module per step, all of one kind, as stacked parameters: a compiled step is one graph.

    The parameter ``a.b`` of the modules is registered as ``a/b`` with a leading axis of length ``steps``.
    """

    def __init__(self, opening: Opening):
        super().__init__()
        modules = _as_modules(opening)
        self.steps = len(modules)
        parameters, buffers = stack_module_state(modules)
        for name, tensor in parameters.items():
            trained = opening.learned and (tensor.is_floating_point() or tensor.is_complex())
            self.register_parameter(name.replace(".", "/"), nn.Parameter(tensor.detach(), requires_grad=trained))
        for name, tensor in buffers.items():
            self.register_buffer(name.replace(".", "/"), tensor)
        template = deepcopy(modules[0])
        self._templates = (template,)  # structure only: in a tuple it is not registered
        order = {id(tensor): i for i, tensor in enumerate(tree.partition(template)[0])}
        named = [(path, [*m._parameters.items(), *m._buffers.items()]) for path, m in template.named_modules()]
        self._places = {f"{p}.{n}".strip("."): order[id(t)] for p, ts in named for n, t in ts if t is not None}

    def train(self, mode: bool = True) -> StackedSlot:
        self._templates[0].train(mode)
        return super().train(mode)

    def forward(self, k: int) -> Any:
        _check_step(self.steps, k)
        module = StepModule(self._templates[0], self._places, self._tensors(k), partial(assign, self, self._places, k))
        return module.at_step(k) if hasattr(self._templates[0], "at_step") else module

    def _tensors(self, k: int) -> list[Tensor]:
        return [t[k] for t in (*self._parameters.values(), *self._buffers.values()) if t is not None]

    def content(self) -> list[nn.Module]:
        modules = [deepcopy(self._templates[0]) for _ in range(self.steps or 0)]
        for k, module in enumerate(modules):
            for old, new in zip(tree.partition(module)[0], self._tensors(k), strict=True):
                old.data = new.detach().clone()
        return modules


Slot = ValueSlot | ModuleSlot | StackedSlot


class StepModule:
    """This is the module of one step of a :class:`StackedSlot`: the template's structure with the step's ``tensors``.

    ``places`` maps every name to the number of its tensor. A module with two names has one place, and two modules that
    share a tensor have two, because ``functional_call(tie_weights=True)`` would leave its tensors behind in a module
    with two names. ``keep`` is called with the name and the tensor of what the module assigns to itself.
    """

    def __init__(self, template: nn.Module, places: dict[str, int], tensors: list[Tensor], keep: Callable[..., None]):
        self.template, self.places, self.tensors, self.keep = template, places, tensors, keep

    def __call__(self, *inputs: Any) -> Any:
        named = {name: self.tensors[i] for name, i in self.places.items()}
        with nullcontext() if torch.compiler.is_compiling() else assigned(LOCK, named, self.keep):
            return functional_call(self.template, named, inputs, tie_weights=False)

    def __getattr__(self, name: str) -> Any:
        return getattr(tree.partition(self.template)[1](self.tensors), name)


def _check_step(steps: int | None, k: int) -> None:
    if steps is not None and not 0 <= k < steps:
        raise MetaoptError(f"A slot holds values for {steps} steps, but was read at k={k}.")


def slot(content: Any, check: Callable[[Tensor], Any] | None = None) -> Slot:
    """Make a slot.

    Args:
        content: An opening (:func:`fixed`, :func:`shared`, :func:`per_step`). A bare number or tensor is fixed; a bare
            module is trained if its own parameters require grad.
        check: A function of the value, or of the values of all steps along a leading axis, that raises where one is
            out of range, as that of ``metaopt.arguments.contracts.within("damping", 0, 1)``. It looks at what fills the
            slot, now and by :func:`parameterize`, and not at what is learned.

    Raises:
        MetaoptError: The content has no value, or its value does not fit the opening, is not finite or out of range.
    """
    made = content if isinstance(content, Slot) else _make(content)
    if check is not None and isinstance(made, ValueSlot):
        check(made._read(lambda t: t).detach())
        made.check = check
    return made


def _make(content: Any) -> Slot:
    if isinstance(content, nn.Module):
        return ModuleSlot(Opening(content, learned=True))
    opening = content if isinstance(content, Opening) else fixed(content)
    if opening.value is None:
        raise MetaoptError("A new slot holds nothing yet, so shared() and per_step(T) need a value, as in shared(0.1).")
    modules = [isinstance(v, nn.Module) for v in _listed(opening)]
    if not any(modules):
        return ValueSlot(opening)
    if opening.positive or opening.interval or not all(modules):
        raise MetaoptError("A constraint holds for a number or a tensor, but this slot holds a module.")
    if any(type(t) in LAZY for m in _listed(opening) for t in tree.leaves(m)):
        raise MetaoptError("A slot copies its module, whose parameters are lazy and have no shape yet; call it once.")
    if opening.steps is not None:
        return StackedSlot(opening)
    return ModuleSlot(replace(opening, value=deepcopy(opening.value).requires_grad_(opening.learned)))


def slots(module: nn.Module, prefix: str = "") -> dict[str, Slot]:
    """Return every slot of an algorithm by its dotted name, which leads through slots to the slots inside them."""
    if not isinstance(module, nn.Module):
        raise MetaoptError(f"slots lists the slots of an Algorithm, not of {said(module)}.")
    found: dict[str, Slot] = {}
    for name, child in module.named_children():
        inner = child.module if isinstance(child, ModuleSlot) else child
        found |= ({prefix + name: child} if isinstance(child, Slot) else {}) | slots(inner, f"{prefix}{name}.")
    return found


def parameterize(algorithm: Module, openings: Mapping[str, Opening]) -> Module:
    """Return a copy of ``algorithm`` with the named slots opened; before training it computes exactly the same.

    Args:
        algorithm: The algorithm.
        openings: Openings (:func:`fixed`, :func:`shared`, :func:`per_step`) by the names of the slots.

    Raises:
        MetaoptError: There is no slot of a name, an opening does not fit what the slot holds, or a learned slot holds a
            module without parameters.

    Example:
        >>> parameterize(ista, {"encode": shared(), "threshold": per_step(16, positive=True)})
    """
    if not isinstance(algorithm, nn.Module) or not isinstance(openings, Mapping):
        raise MetaoptError(f"parameterize takes an Algorithm and a dict, not {said(algorithm)} and {said(openings)}.")
    opened = deepcopy(algorithm)
    for name, opening in openings.items():
        if name not in (known := slots(opened)):
            who, names = type(algorithm).__name__, ", ".join(sorted(known)) or "none"
            raise MetaoptError(f"{who} has no slot '{name}'; its slots are {names}.")
        if not isinstance(opening, Opening):
            raise MetaoptError(f"Slot '{name}' is opened by fixed, shared or per_step(...), not by {said(opening)}.")
        new = _inherit(name, opening, known[name])
        if opening.learned and not any(p.requires_grad for p in new.parameters()):
            inner = ", ".join(n for n in sorted(known) if n.startswith(f"{name}.")) or "it has none"
            raise MetaoptError(f"Slot '{name}' holds a module without parameters, which cannot learn; inside: {inner}.")
        if isinstance(new, ValueSlot):
            new.check = getattr(known[name], "check", None)
        _replace_slot(opened, name, new)
    return opened


def check_steps(algorithm: nn.Module, stop: int) -> None:
    """Raise if a slot of ``algorithm`` holds fewer than ``stop`` steps."""
    for name, found in slots(algorithm).items():
        if found.steps is not None and stop > found.steps:
            held = f"Slot '{name}' holds values for {found.steps} steps, but {stop} were asked for"
            raise MetaoptError(f"{held}; run at most {found.steps}, or use shared(...), which serves any number.")


def _inherit(name: str, opening: Opening, old: Slot) -> Slot:
    """Make the new slot, with the check of the old one; where the opening gives no value it takes that of the old."""
    if opening.value is not None:
        return slot(opening, getattr(old, "check", None))
    value = old.content()
    if isinstance(value, list):
        if opening.learned and opening.steps is None:
            raise MetaoptError(f"Slot '{name}' holds one value per step; give shared(...) the one value it is to hold.")
        if opening.steps not in (None, old.steps):
            raise MetaoptError(f"Slot '{name}' holds values for {old.steps} steps, not {opening.steps}; give a value.")
    # Without the check, since what was learned may have left the range.
    return slot(replace(opening, value=value, steps=old.steps if isinstance(value, list) else opening.steps))


def _replace_slot(module: nn.Module, name: str, new: Slot) -> None:
    *path, last = name.split(".")
    for part in path:
        inner = module.get_submodule(part)
        module = inner.module if isinstance(inner, ModuleSlot) else inner
    setattr(module, last, new)


def _listed(opening: Opening) -> list[Any]:
    return list(opening.value) if isinstance(opening.value, list | tuple) else [opening.value] * (opening.steps or 1)


def _as_tensor(opening: Opening) -> Tensor:
    tensors = [as_number(value) for value in _listed(opening)]
    if len({t.shape for t in tensors}) > 1:
        raise MetaoptError(f"A list for a slot holds values of one shape, but got {[*map(tree.describe, tensors)]}.")
    return tensors[0] if opening.steps is None else torch.stack(tensors)


def _as_modules(opening: Opening) -> list[nn.Module]:
    modules = _listed(opening)
    if any(inner.steps is not None for module in modules for inner in slots(module).values()):
        raise MetaoptError("A module of a per_step slot has slots with one value a step of its own; use shared(...).")
    kinds = {f"{m} {[tree.describe(t) for t in tree.leaves(m)]}" for m in modules}
    if len(kinds) != 1:
        raise MetaoptError(f"The modules of a per_step slot must be of one kind and shape, but are {sorted(kinds)}.")
    return modules
