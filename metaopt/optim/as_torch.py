"""Wrap an update as a ``torch.optim.Optimizer``, which trains any network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from ..arguments.checks import said
from ..core import MetaoptError, tree
from ..updates.update import Update
from .states import check_state
from .working import cycled_options, tuned, update_name, working_dtype


class UpdateOptimizer(torch.optim.Optimizer):
    """Step parameters by an update; :func:`as_torch` makes it.

    ``lr`` of a parameter group multiplies the change that the update returns, so schedulers work with any update.
    ``betas`` (of Adam and AdamW) and ``momentum`` (of Momentum and Nesterov) take the place of the update's own; in the
    groups of any other update ``momentum`` is there for schedulers that cycle it, and has no effect.

    A learned update works in the dtype of its weights, whatever that of the parameters. An entry of a parameter whose
    gradient has been exactly 0 in all of its steps, such as a padding row of an embedding, is not moved by it.

    In ``state``, the memory of a parameter is stored in the entries ``memory_0``, ``memory_1``, ..., and ``step``
    counts its steps; with a learned update ``touched`` marks the entries that have had a gradient, until all have.

    Args:
        params: Parameters, or parameter groups.
        update: The update.
        lr: Factor of every change.

    Raises:
        MetaoptError: ``lr`` is negative or NaN, a parameter is no leaf or is there twice, or ``update`` is no update.
    """

    def __init__(self, params: Iterable[Any], update: Update, lr: float | Tensor = 1.0):
        if isinstance(update, type) or not (callable(update) and callable(getattr(update, "init", None))):
            raise MetaoptError(
                f"as_torch needs an update, such as metaopt.updates.Adam(1e-3), but got {said(update)}; an update has "
                "init(x, context) and is called with (gradient, x, memory, k, context)."
            )
        self.update = update
        self._prepare()
        try:
            super().__init__(params, {"lr": lr, **self._cycled})
        except (TypeError, ValueError, AttributeError) as error:
            raise _about_parameters(error) from error

    def _prepare(self) -> None:
        """Set what follows from the update."""
        self._structures: dict[int, Any] = {}  # structure of the memory, by the number of parameters
        self._dtype, self._cycled = working_dtype(self.update), cycled_options(self.update)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a parameter group, whose parameters start at their own first step.

        Args:
            param_group: A dict with ``params`` and, where they differ from the defaults, ``lr``, ``betas`` or
                ``momentum``.

        Raises:
            MetaoptError: ``lr`` does not fit, or a parameter is no leaf or is there twice.
        """
        try:
            given = param_group["params"]
            given = [given] if isinstance(given, Tensor) else given if isinstance(given, set) else list(given)
            tensors = [p[-1] if isinstance(p, tuple) else p for p in given]
            _check_rate(param_group.get("lr", self.defaults["lr"]))
            if len({id(p) for p in tensors}) < len(tensors):
                raise MetaoptError(
                    "A parameter is there twice in a group, and would be stepped twice; give each once, for instance "
                    "list(dict.fromkeys(parameters))."
                )
            super().add_param_group({**param_group, "params": given})
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise _about_parameters(error) from error

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step for every parameter that has a gradient.

        Args:
            closure: A function that computes the loss and its gradients, called first. None: the gradients are there.

        Returns:
            The value of the closure, or None.

        Raises:
            MetaoptError: A parameter is complex or on another device than the update, or its gradient is sparse.
        """
        loss = None
        if closure is not None:
            if not callable(closure):
                raise MetaoptError(
                    f"step takes a function that computes the loss, or nothing, but got {said(closure)}."
                )
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            together: dict[Any, list[Tensor]] = {}  # sorted before any of them steps, which changes its count
            for parameter in group["params"]:
                if parameter.grad is not None:
                    _check(parameter)
                    together.setdefault((self._steps(parameter), parameter.device), []).append(parameter)
            for (step, _), parameters in together.items():
                self._step(parameters, step, group)
        return loss

    def _steps(self, parameter: Tensor) -> int:
        return self.state[parameter].get("step", 0)

    def _step(self, parameters: list[Tensor], step: int, group: dict[str, Any]) -> None:
        """Step parameters that have taken equally many steps, all of them as one tree."""
        x, gradient = self._working(parameters), self._working([p.grad for p in parameters])
        memory = self._memory(x, new=not step)
        each = len(tree.leaves(memory)) // len(parameters)  # an update's memory is trees like x, one after another
        if step:
            kept = [self.state[p][f"memory_{i}"] for i in range(each) for p in parameters]
            memory = tree.fill(memory, kept)
        update = tuned(self.update, self._cycled, group)
        change, memory = update(gradient, x, memory, step, ())
        changes = list(change) if self._dtype is None else self._where_touched(parameters, gradient, change, step)
        if isinstance(lr := group["lr"], Tensor):
            changes, lr = [c * lr.to(c) for c in changes], 1.0
        torch._foreach_add_([p.detach() for p in parameters], changes, alpha=lr)  # type: ignore[attr-defined]
        parts = tree.leaves(memory)
        for j, parameter in enumerate(parameters):
            mine = {f"memory_{i}": parts[i * len(parameters) + j] for i in range(each)}
            self.state[parameter].update(step=step + 1, **mine)

    def _working(self, tensors: Iterable[Any]) -> tuple[Tensor, ...]:
        """The tensors in the dtype that a learned update works in; what is too large for it becomes its largest."""
        return tuple(t.detach() if self._dtype in (None, t.dtype) else _converted(t, self._dtype) for t in tensors)

    def _where_touched(self, parameters: list[Tensor], gradient: Any, change: Any, step: int) -> list[Tensor]:
        """The changes of entries that have ever had a gradient, 0 elsewhere: a learned update moves any entry."""
        changes = []
        for parameter, slope, moved in zip(parameters, gradient, change, strict=True):
            state = self.state[parameter]
            before = state.pop("touched", None)  # which is kept only while an entry waits for its first gradient
            if not step or before is not None:
                touched = slope != 0 if before is None else (slope != 0) | before
                # Whether any entry waits is asked at steps 1, 2, 4, 8, ..., since the answer makes a device wait.
                asked = not (step + 1) & step and not touched.is_meta
                if not (asked and bool(touched.all())):
                    state["touched"], moved = touched, torch.where(touched, moved, 0.0)
            changes.append(moved)
        return changes

    def _memory(self, x: tuple[Tensor, ...], new: bool) -> Any:
        """Return the initial memory if ``new``, otherwise only its structure, on the meta device and cached."""
        if new:
            self._check_device(x[0])
            return self.update.init(x, ())
        if len(x) not in self._structures:
            self._structures[len(x)] = self.update.init(tree.to(x, "meta"), ())
        return self._structures[len(x)]

    def _check_device(self, x: Tensor) -> None:
        weights = next(iter(getattr(self.update, "parameters", lambda: ())()), x) if self._dtype else x
        if weights.device != x.device:
            raise MetaoptError(
                f"A parameter is on {x.device}, but the update on {weights.device}; move it: update.to('{x.device}')."
            )

    def state_dict(self) -> dict[str, Any]:
        """Return the state as ``torch.optim`` does, with the name of the update besides."""
        return {**super().state_dict(), "update": update_name(self.update)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over the state of an optimizer of the same update.

        Args:
            state_dict: What :meth:`state_dict` gave.

        Raises:
            MetaoptError: It is another optimizer's or another update's, or does not fit the parameters.
        """
        parameters = [p for group in self.param_groups for p in group["params"]]
        shapes = [[tuple(t.shape) for t in tree.leaves(self._expected(p))] for p in parameters]
        saved = check_state(state_dict, self.update, self.param_groups, shapes)
        super().load_state_dict({"state": state_dict["state"], "param_groups": state_dict["param_groups"]})
        for group in self.param_groups:
            group.update({name: value for name, value in self.defaults.items() if name not in group})
        for parameter, entries in zip(parameters, saved, strict=True):  # torch has given them the parameter's dtype
            for name, value in entries.items():
                if isinstance(value, Tensor) and value.ndim:
                    dtype = torch.bool if name == "touched" else self._dtype or parameter.dtype
                    self.state[parameter][name] = value.to(parameter.device, dtype)

    def _expected(self, parameter: Tensor) -> Any:
        """The structure of the memory of one parameter."""
        return self.update.init((torch.empty_like(parameter, device="meta", dtype=self._dtype),), ())

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "update": self.update}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._prepare()


def as_torch(update: Update, params: Iterable[Any], lr: float | Tensor = 1.0) -> UpdateOptimizer:
    """Wrap ``update`` as a ``torch.optim.Optimizer``.

    ``torch.optim.lr_scheduler``, ``state_dict``, ``torch.amp.GradScaler``, copies and pickles work as with the
    optimizers of torch. A compiled update, ``as_torch(torch.compile(update), params)``, has two graphs however many
    steps there are. What ``betas`` and ``momentum`` of a group do, and which entries a learned update leaves alone,
    says :class:`UpdateOptimizer`.

    Args:
        update: A classical or learned update.
        params: Parameters of a network, or parameter groups.
        lr: Factor of the changes that the update returns, a number or a tensor of one. Learned updates are trained for
            1.

    Returns:
        The optimizer. Its ``step`` refuses parameters that are complex or whose gradient is sparse.

    Raises:
        MetaoptError: ``lr`` is negative or NaN, a parameter is no leaf or is there twice, or ``update`` is no update.

    Example:
        >>> optimizer = as_torch(metaopt.updates.Adam(1e-3), model.parameters())
    """
    return UpdateOptimizer(params, update, lr)


def _converted(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    limit = torch.finfo(dtype).max
    fits = torch.finfo(tensor.dtype).max <= limit
    return (tensor if fits else tensor.clamp(-limit, limit)).detach().to(dtype)


def _check_rate(lr: Any) -> None:
    number = isinstance(lr, int | float) and not isinstance(lr, bool)
    if isinstance(lr, Tensor):
        number = lr.numel() == 1 and lr.is_floating_point()
    if not number or not 0 <= lr < float("inf"):
        raise MetaoptError(f"lr multiplies the changes and must be at least 0, but got {said(lr)}.")


def _about_parameters(error: Exception) -> MetaoptError:
    if isinstance(error, MetaoptError):
        return error
    return MetaoptError(
        "as_torch takes the parameters of a network, model.parameters(), or groups of them, each a dict with 'params', "
        f"but: {error}."
    )


def _check(parameter: Tensor) -> None:
    if parameter.is_complex():
        raise MetaoptError(
            f"A parameter is {tree.describe(parameter)}; learned updates are for real ones, so optimise its real and "
            "imaginary part as two parameters (torch.view_as_real)."
        )
    if parameter.grad is not None and parameter.grad.layout != torch.strided:
        raise MetaoptError(
            f"The gradient of a parameter {tree.describe(parameter)} is {parameter.grad.layout}; build the embedding "
            "with sparse=False."
        )
