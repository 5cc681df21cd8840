"""Slots are named places in an algorithm that hold a number, a tensor or a module, and may be learned."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

from . import tree
from .errors import MetaoptError

Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True)
class Opening:
    """An opening says what a slot is to hold and whether it is learned.

    It is made by :func:`fixed`, :func:`shared` or :func:`per_step`.
    """

    value: Any
    learned: bool
    steps: int | None = None
    positive: bool = False
    interval: tuple[float, float] | None = None


def fixed(value: Any = None) -> Opening:
    """Fill a slot without learning it.

    Args:
        value: A number, a tensor or a module; a list gives one value per step. ``None`` keeps what the slot holds.
    """
    return Opening(value, learned=False, steps=len(value) if isinstance(value, list | tuple) else None)


def shared(value: Any = None, *, positive: bool = False, interval: tuple[float, float] | None = None) -> Opening:
    """Learn one value for all steps (tied weights).

    Args:
        value: A number, a tensor or a module; ``None`` begins with what the slot holds.
        positive: Whether the value stays above 0 while it is learned.
        interval: The bounds (low, high) between which the value stays while it is learned.
    """
    return Opening(value, learned=True, positive=positive, interval=interval)


def per_step(
    steps: int, value: Any = None, *, positive: bool = False, interval: tuple[float, float] | None = None
) -> Opening:
    """Learn one value for each of ``steps`` steps (untied weights).

    Args:
        steps: The number of steps.
        value: A number, a tensor or a module, which is repeated; a list of length ``steps`` gives one value per step;
            ``None`` begins with what the slot holds.
        positive: Whether the values stay above 0 while they are learned.
        interval: The bounds (low, high) between which the values stay while they are learned.

    Raises:
        MetaoptError: ``steps`` is below 1, or the list has another length.
    """
    if steps < 1:
        raise MetaoptError(f"per_step needs at least one step, but got steps={steps}.")
    if isinstance(value, list | tuple) and len(value) != steps:
        raise MetaoptError(f"per_step({steps}) needs {steps} values, but its list holds {len(value)}.")
    return Opening(value, learned=True, steps=steps, positive=positive, interval=interval)


class ValueSlot(nn.Module):
    """This slot holds a number or a tensor.

    Numbers are kept as float64 tensors without axes, so that they never promote other tensors. Under a constraint the
    value is a function of an unconstrained parameter ``raw``, which starts at 0 and then gives exactly the starting
    value: ``value * exp(raw)`` for ``positive``, and for ``interval`` the value plus a tanh on either side of it, which
    is twice continuously differentiable.
    """

    base: Tensor

    def __init__(self, opening: Opening):
        super().__init__()
        value = _as_tensor(opening)
        self.steps, self._positive, self._interval = opening.steps, opening.positive, opening.interval
        _check_constraint(opening, value)
        if not opening.learned:
            self.register_buffer("value", value)
        elif self._positive or self._interval:
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
        if not (self._positive or self._interval):
            return at(self.value)
        base, raw = at(self.base), at(self.raw)
        if self._interval is None:
            return base * torch.exp(raw)
        low, high = self._interval
        room = torch.where(raw >= 0, high - base, base - low)
        return base + room * torch.tanh(raw / room)


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
        template = copy.deepcopy(modules[0])
        self._templates = (template,)  # structure only: in a tuple it is not registered
        order = {id(tensor): i for i, tensor in enumerate(tree.partition(template)[0])}
        named = [(path, [*m._parameters.items(), *m._buffers.items()]) for path, m in template.named_modules()]
        self._places = {f"{p}.{n}".strip("."): order[id(t)] for p, ts in named for n, t in ts if t is not None}

    def train(self, mode: bool = True) -> StackedSlot:
        self._templates[0].train(mode)
        return super().train(mode)

    def forward(self, k: int) -> Any:
        _check_step(self.steps, k)
        module = StepModule(self._templates[0], self._places, self._tensors(k))
        return module.at_step(k) if hasattr(self._templates[0], "at_step") else module

    def _tensors(self, k: int) -> list[Tensor]:
        return [t[k] for t in (*self._parameters.values(), *self._buffers.values()) if t is not None]

    def content(self) -> list[nn.Module]:
        modules = [copy.deepcopy(self._templates[0]) for _ in range(self.steps or 0)]
        for k, module in enumerate(modules):
            for old, new in zip(tree.partition(module)[0], self._tensors(k), strict=True):
                old.data = new.detach().clone()
        return modules


Slot = ValueSlot | ModuleSlot | StackedSlot


class StepModule:
    """This is the module of one step of a :class:`StackedSlot`: the template's structure with the step's ``tensors``.

    ``places`` maps every name to the number of its tensor. A module with two names has one place, and two modules that
    share a tensor have two, because ``functional_call(tie_weights=True)`` would leave its tensors behind in a module
    with two names.
    """

    def __init__(self, template: nn.Module, places: dict[str, int], tensors: list[Tensor]):
        self.template, self.places, self.tensors = template, places, tensors

    def __call__(self, *inputs: Any) -> Any:
        named = {name: self.tensors[i] for name, i in self.places.items()}
        return functional_call(self.template, named, inputs, tie_weights=False)

    def __getattr__(self, name: str) -> Any:
        return getattr(tree.partition(self.template)[1](self.tensors), name)


def _check_step(steps: int | None, k: int) -> None:
    if steps is not None and not 0 <= k < steps:
        raise MetaoptError(f"A slot holds values for {steps} steps, but was read at k={k}.")


def slot(content: Any) -> Slot:
    """Make a slot.

    Args:
        content: An opening (:func:`fixed`, :func:`shared`, :func:`per_step`). A bare number or tensor is fixed; a bare
            module is trained if its own parameters require grad.

    Raises:
        MetaoptError: The content has no value, or its value does not fit the opening.
    """
    if isinstance(content, Slot):
        return content
    if isinstance(content, nn.Module):
        return ModuleSlot(Opening(content, learned=True))
    opening = content if isinstance(content, Opening) else fixed(content)
    if opening.value is None:
        raise MetaoptError("A new slot holds nothing yet, so shared() and per_step(T) need a value, as in shared(0.1).")
    first = opening.value[0] if isinstance(opening.value, list | tuple) else opening.value
    if not isinstance(first, nn.Module):
        return ValueSlot(opening)
    if opening.positive or opening.interval:
        raise MetaoptError("A constraint holds for a number or a tensor, but this slot holds a module.")
    if opening.steps is not None:
        return StackedSlot(opening)
    return ModuleSlot(replace(opening, value=copy.deepcopy(first).requires_grad_(opening.learned)))


def slots(module: nn.Module, prefix: str = "") -> dict[str, Slot]:
    """Return every slot of an algorithm by its dotted name, which leads through slots to the slots inside them."""
    found: dict[str, Slot] = {}
    for name, child in module.named_children():
        if isinstance(child, Slot):
            found[prefix + name] = child
        inner = child.module if isinstance(child, ModuleSlot) else child
        found |= slots(inner, f"{prefix}{name}.")
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
    opened = copy.deepcopy(algorithm)
    for name, opening in openings.items():
        known = slots(opened)
        if name not in known:
            names = ", ".join(sorted(known)) or "none"
            raise MetaoptError(f"{type(algorithm).__name__} has no slot '{name}'; its slots are {names}.")
        if not isinstance(opening, Opening):
            raise MetaoptError(f"Slot '{name}' is opened by fixed, shared or per_step(...), not by {opening!r}.")
        new = _inherit(name, opening, known[name])
        if opening.learned and not any(p.requires_grad for p in new.parameters()):
            inner = ", ".join(n for n in sorted(known) if n.startswith(f"{name}.")) or "it has none"
            what = "holds a module without parameters, which cannot learn; open a slot inside it"
            raise MetaoptError(f"Slot '{name}' {what}: {inner}.")
        _replace_slot(opened, name, new)
    return opened


def check_steps(algorithm: nn.Module, stop: int) -> None:
    """Raise if a slot of ``algorithm`` holds fewer than ``stop`` steps."""
    for name, found in slots(algorithm).items():
        if found.steps is not None and stop > found.steps:
            held = f"Slot '{name}' holds values for {found.steps} steps, but {stop} were asked for"
            raise MetaoptError(f"{held}; run at most {found.steps}, or use shared(...), which serves any number.")


def _inherit(name: str, opening: Opening, old: Slot) -> Slot:
    """Make the new slot; where the opening gives no value it takes that of the old slot."""
    if opening.value is not None:
        return slot(opening)
    value = old.content()
    if isinstance(value, list):
        if opening.learned and opening.steps is None:
            raise MetaoptError(f"Slot '{name}' holds one value per step; give shared(...) the one value it is to hold.")
        if opening.steps not in (None, old.steps):
            raise MetaoptError(f"Slot '{name}' holds values for {old.steps} steps, not {opening.steps}; give a value.")
        opening = replace(opening, steps=old.steps)
    return slot(replace(opening, value=value))


def _replace_slot(module: nn.Module, name: str, new: Slot) -> None:
    *path, last = name.split(".")
    for part in path:
        inner = module.get_submodule(part)
        module = inner.module if isinstance(inner, ModuleSlot) else inner
    setattr(module, last, new)


def _as_tensor(opening: Opening) -> Tensor:
    if isinstance(opening.value, list | tuple):
        return torch.stack([_number(value) for value in opening.value])
    tensor = _number(opening.value)
    return tensor if opening.steps is None else tensor.expand(opening.steps, *tensor.shape).clone()


def _number(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, bool) or not isinstance(value, int | float | complex):
        raise MetaoptError(f"A slot holds a number, a tensor or a module, not {type(value).__name__} {value!r}.")
    return torch.tensor(value, dtype=torch.complex128 if isinstance(value, complex) else torch.float64)


def _as_modules(opening: Opening) -> list[nn.Module]:
    value = opening.value
    modules = list(value) if isinstance(value, list | tuple) else [value] * (opening.steps or 1)
    if any(inner.steps is not None for module in modules for inner in slots(module).values()):
        raise MetaoptError("A module of a per_step slot has slots with one value a step of its own; use shared(...).")
    kinds = {f"{m} {[tree.describe(t) for t in tree.leaves(m)]}" for m in modules}
    if len(kinds) != 1:
        raise MetaoptError(f"The modules of a per_step slot must be of one kind and shape, but are {sorted(kinds)}.")
    return modules


def _check_constraint(opening: Opening, value: Tensor) -> None:
    low, high = opening.interval or (0.0, float("inf"))
    if opening.positive and opening.interval:
        raise MetaoptError("Give a slot positive=True or interval=(low, high), not both.")
    if opening.learned and not (value.is_floating_point() or value.is_complex()):
        raise MetaoptError(f"A slot learns floating or complex numbers, but its value is {tree.describe(value)}.")
    constrained = opening.positive or opening.interval
    if constrained and (value.is_complex() or not bool(((value > low) & (value < high)).all())):
        remedy = "or its learning could never move; move it a little inside"
        raise MetaoptError(f"The starting value {value.tolist()} must lie strictly between {low} and {high}, {remedy}.")
