"""Run the inner loop of ``higher`` (Grefenstette et al., arXiv:1910.01727) with differentiable optimizer steps."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..core import MetaoptError, tree
from ..updates import Adam, AdamW, Momentum, Nesterov, RMSprop, Sgd, TorchOptim
from ..updates.torch_optim import MEMORY

Override = Mapping[str, Sequence[Any]]
Callback = Callable[[list[Tensor]], Sequence[Tensor]]
# For each torch optimizer, the slots and the memory of its update, by torch's names.
SLOTS = {
    "SGD": {"lr": "step_size", "weight_decay": "weight_decay"},
    "SGD with momentum": {"lr": "step_size", "momentum": "momentum", "weight_decay": "weight_decay"},
    "Adam": {"lr": "step_size", "eps": "epsilon", "weight_decay": "weight_decay"},
    "AdamW": {"lr": "step_size", "eps": "epsilon", "weight_decay": "weight_decay"},
    "RMSprop": {"lr": "step_size", "alpha": "smoothing", "eps": "epsilon", "weight_decay": "weight_decay"},
}
KEPT = {
    "SGD": (),
    "SGD with momentum": ("momentum_buffer",),
    "Adam": ("exp_avg", "exp_avg_sq"),
    "AdamW": ("exp_avg", "exp_avg_sq"),
    "RMSprop": ("square_avg",),
}
REFUSED = ("amsgrad", "centered", "dampening")  # options that no update implements


@contextlib.contextmanager
def innerloop_ctx(
    model: nn.Module,
    opt: torch.optim.Optimizer,
    device: torch.device | None = None,
    copy_initial_weights: bool = True,
    override: Override | None = None,
    track_higher_grads: bool = True,
) -> Iterator[tuple[FunctionalModule, DifferentiableOptimizer]]:
    """Open an inner loop as ``higher.innerloop_ctx`` does: a stateless copy of a model, and differentiable steps.

    ``diffopt.step(loss)`` replaces ``zero_grad``, ``backward`` and ``step``. A later loss can be differentiated with
    respect to the initial parameters, ``fmodel.parameters(time=0)``.

    Args:
        model: The model.
        opt: An optimizer of the model's parameters.
        device: Where the copy lives. None: where the model is.
        copy_initial_weights: Whether to start from copies. With False the loop starts from the model's own parameters,
            which then receive gradients.
        override: Options of the optimizer to replace, such as ``{"lr": [tensor]}``: a list of one value, or of one for
            each parameter group.
        track_higher_grads: Whether to keep the graph of the steps. With False, for evaluation, memory does not grow.

    Returns:
        A context manager that gives ``(fmodel, diffopt)``.

    Raises:
        MetaoptError: The optimizer or an option has no differentiable form here.
    """
    functional = FunctionalModule(model, device, copy_initial_weights, track_higher_grads)
    yield functional, DifferentiableOptimizer(opt, model, functional, override, track_higher_grads)


class FunctionalModule:
    """Run a copy of a module with its current fast weights; its buffers are copies as well.

    Args:
        module: The module.
        device: Where the copy lives. None: where the module is.
        copies: Whether the first parameters are copies.
        track: Whether to keep the parameters of every step.
    """

    def __init__(self, module: nn.Module, device: torch.device | None, copies: bool, track: bool):
        self._names = [name for name, _ in module.named_parameters()]
        self._template = copy.deepcopy(module).to(device)
        own = [p if device is None else p.to(device) for p in module.parameters()]
        first = [p.detach().clone().requires_grad_(p.requires_grad) if copies else p for p in own]
        self._buffers = {name: b.detach().clone() for name, b in self._template.named_buffers()}
        self._history, self._track = [first], track

    def forward(self, *inputs: Any, params: Iterable[Tensor] | None = None, **keywords: Any) -> Any:
        """Run the module.

        Args:
            inputs: Its inputs.
            params: Parameters to use from now on. None: the current ones.
            keywords: Its keyword arguments.

        Returns:
            The output of the module.

        Raises:
            MetaoptError: ``params`` are not as many as the module has.
        """
        if params is not None:
            self.update_params(params)
        return self._with(self.fast_params)(*inputs, **keywords)

    __call__ = forward

    @property
    def fast_params(self) -> list[Tensor]:
        """Return the current parameters, in the module's order."""
        return self._history[-1]

    @property
    def init_fast_params(self) -> list[Tensor]:
        """Return the parameters before the first step."""
        return self._history[0]

    def parameters(self, time: int = -1) -> list[Tensor]:
        """Return the parameters after a number of steps.

        Args:
            time: Number of steps; -1 stands for all so far. Without tracking, only the first and the last are kept.

        Returns:
            The parameters, in the module's order.
        """
        return self._history[time]

    def named_parameters(self, time: int = -1) -> list[tuple[str, Tensor]]:
        """Return the names and the parameters after a number of steps.

        Args:
            time: As for :meth:`parameters`.

        Returns:
            Pairs of a name and a parameter.
        """
        return list(zip(self._names, self.parameters(time), strict=True))

    def update_params(self, params: Iterable[Tensor]) -> None:
        """Set the current parameters.

        Args:
            params: The parameters, in the module's order.

        Raises:
            MetaoptError: They are not as many as the module has.
        """
        params = list(params)
        if len(params) != len(self._names):
            raise MetaoptError(f"The module has {len(self._names)} parameters, but {len(params)} were given.")
        self._history = [*(self._history if self._track else self._history[:1]), params]

    def train(self, mode: bool = True) -> FunctionalModule:
        """Set the copy to training mode, or to evaluation mode with ``mode=False``, and return this module."""
        self._template.train(mode)
        return self

    def eval(self) -> FunctionalModule:
        """Set the copy to evaluation mode, and return this module."""
        return self.train(False)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or "_history" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self._with(self.fast_params), name)

    def _with(self, params: Sequence[Tensor]) -> nn.Module:
        return tree.substitute(self._template, {**dict(zip(self._names, params, strict=True)), **self._buffers})


class DifferentiableOptimizer:
    """Step the fast weights, each step a differentiable function of the weights before it and of the options.

    Args:
        opt: The optimizer to imitate, with the options and memory that it has.
        model: The model that the optimizer was made for.
        functional: The functional module whose fast weights are stepped.
        override: Options to replace, as for :func:`innerloop_ctx`.
        track: Whether to keep the graph of the steps.

    Raises:
        MetaoptError: The optimizer or an option has no differentiable form here, or it has parameters that are not the
            model's.
    """

    def __init__(
        self,
        opt: torch.optim.Optimizer,
        model: nn.Module,
        functional: FunctionalModule,
        override: Override | None = None,
        track: bool = True,
    ):
        self.functional, self.track = functional, track
        kind, place = type(opt).__name__, {id(p): i for i, p in enumerate(model.parameters())}
        strange = [p for group in opt.param_groups for p in group["params"] if id(p) not in place]
        if strange:
            raise MetaoptError(f"The optimizer has {len(strange)} parameters that the model has not.")
        self.param_groups = [_Group(kind, group, [place[id(p)] for p in group["params"]]) for group in opt.param_groups]
        for group, given in zip(self.param_groups, opt.param_groups, strict=True):
            group.remember(opt, given["params"], functional)
        self.override(override or {})

    def override(self, options: Override) -> None:
        """Replace options from now on, for instance by tensors that require a gradient.

        Args:
            options: For each option a list of one value, or of one for each parameter group.

        Raises:
            MetaoptError: An option is unknown, or the number of values does not fit.
        """
        for name, values in options.items():
            if len(values) not in (1, len(self.param_groups)):
                raise MetaoptError(
                    f"override['{name}'] holds {len(values)} values for {len(self.param_groups)} parameter groups; "
                    "give one, or one for each."
                )
            for i, group in enumerate(self.param_groups):
                group.set(name, values[i if len(values) > 1 else 0])

    def step(
        self,
        loss: Tensor,
        params: Iterable[Tensor] | None = None,
        override: Override | None = None,
        grad_callback: Callback | None = None,
    ) -> list[Tensor]:
        """Take one step along the gradient of ``loss``.

        Args:
            loss: A scalar that depends on the current parameters.
            params: Parameters to step from. None: the current ones.
            override: Options to replace from now on.
            grad_callback: A function from the gradients to those that are used, such as clipping, both in the module's
                order.

        Returns:
            The new parameters, which the functional module now has as well.
        """
        self.override(override or {})
        now = list(self.functional.fast_params if params is None else params)
        learned = [i for i, p in enumerate(now) if p.requires_grad]
        found = torch.autograd.grad(loss, [now[i] for i in learned], create_graph=self.track, allow_unused=True)
        gradients: list[Any] = [None] * len(now)
        for i, gradient in zip(learned, found, strict=True):
            gradients[i] = gradient
        if grad_callback is not None:
            gradients = list(grad_callback(gradients))
        new = list(now)
        for group in self.param_groups:
            for i, parameter in group.step(now, gradients).items():
                new[i] = parameter if self.track else parameter.detach().requires_grad_()
        self.functional.update_params(new)
        return new


class _Group:
    """Hold the update of one parameter group, its replaced options, and its memory."""

    def __init__(self, kind: str, options: Mapping[str, Any], places: list[int]):
        self.places, self.sign, self.k = places, -1.0 if options.get("maximize") else 1.0, 0
        self.kind = "SGD with momentum" if kind == "SGD" and options.get("momentum") else kind
        odd = [name for name in REFUSED if options.get(name)]
        if self.kind == "RMSprop" and options.get("momentum"):
            odd.append("momentum")
        if odd:
            raise MetaoptError(
                f"{kind} with {odd[0]}={options[odd[0]]!r} has no differentiable form here; leave it out."
            )
        self.update, self.values = _update(self.kind, options), {}
        self.memory: Any = None

    def remember(self, opt: torch.optim.Optimizer, params: list[Tensor], functional: FunctionalModule) -> None:
        """Start from the memory of ``opt`` if it has stepped before."""
        x = tuple(functional.fast_params[i].detach() for i in self.places)
        self.memory = self.update.init(x, ())
        states = [opt.state.get(p, {}) for p in params]
        if self.kind not in KEPT and any(int(state.get("step", 0)) > 0 for state in states):
            raise MetaoptError(
                f"This {self.kind} has stepped before, and what it remembers is not taken over; make a new one."
            )
        if self.kind in KEPT and any(states):
            if not all(all(name in state for name in KEPT[self.kind]) for state in states):
                raise MetaoptError(
                    "The optimizer has stepped some parameters of a group and others not; step all first."
                )
            kept = [state[name].detach().clone() for name in KEPT[self.kind] for state in states]
            self.memory = tree.fill(self.memory, kept)
            self.k = int(states[0].get("step", 0))

    def set(self, name: str, value: Any) -> None:
        if name == "betas" and self.kind in ("Adam", "AdamW"):
            self.values |= {"beta1.value": torch.as_tensor(value[0]), "beta2.value": torch.as_tensor(value[1])}
            return
        known = SLOTS.get(self.kind) or {n: n for n in getattr(self.update, "options", ())}
        if name not in known:
            raise MetaoptError(
                f"{self.kind} has no option '{name}' to override; it has {', '.join([*known, 'betas'])}."
            )
        self.values[f"{known[name]}.value"] = torch.as_tensor(value)

    def step(self, now: Sequence[Tensor], gradients: Sequence[Any]) -> dict[int, Tensor]:
        missing = [i for i in self.places if gradients[i] is None]
        x = tuple(now[i] for i in self.places)
        gradient = tuple(torch.zeros_like(now[i]) if i in missing else self.sign * gradients[i] for i in self.places)
        change, self.memory = tree.substitute(self.update, self.values)(gradient, x, self.memory, self.k, ())
        self.k += 1
        return {i: p + c for i, p, c in zip(self.places, x, change, strict=True) if i not in missing}


def _update(kind: str, options: Mapping[str, Any]) -> Any:
    lr, decay = options["lr"], options.get("weight_decay") or 0.0
    if kind == "SGD":
        return Sgd(lr, decay)
    if kind == "SGD with momentum":
        return (Nesterov if options.get("nesterov") else Momentum)(lr, options["momentum"], decay)
    if kind in ("Adam", "AdamW"):
        return {"Adam": Adam, "AdamW": AdamW}[kind](lr, *options["betas"], options["eps"], decay)
    if kind == "RMSprop":
        return RMSprop(lr, options["alpha"], options["eps"], decay)
    if kind in MEMORY:
        cls = getattr(torch.optim, kind)
        names = TorchOptim(cls).options
        return TorchOptim(cls, {name: options[name] for name in names})
    names = ", ".join(("SGD", "Adam", "AdamW", "RMSprop", *MEMORY))
    raise MetaoptError(f"{kind} has no differentiable form here; those that have are {names}.")
