"""Run a copy of a module with fast weights, which may be the result of optimizer steps."""

from __future__ import annotations

import copy
import types
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..arguments.checks import check_flag, check_function, check_instance, check_whole, said
from ..core import MetaoptError, autodiff, tree
from ..foundation import purity, shadows
from ..foundation.kernels import Composed
from .caches import Caches
from .structures import Listed

REPEATS = (
    "The module computes parts of itself again in the backward pass, as torch.utils.checkpoint does, and would find "
    "the weights of a later step then; turn checkpointing off, or call with track_higher_grads=False where no "
    "meta-gradient is needed. Other hooks on saved tensors, such as save_on_cpu, are set before the first call."
)


class FunctionalModule(nn.Module):
    """Mark modules that :func:`monkeypatch` made: a copy of a module of any class, run with its current fast weights.

    It is a module of the original's class as well, so hooks, attributes that are set, methods and submodules act as on
    any other. The fast weights are ordinary tensors in the places of its parameters; its buffers are copies.
    """

    _fast: FastWeights

    def _run(self, *inputs: Any, params: Iterable[Tensor] | None = None, **keywords: Any) -> Any:
        """Run the module with ``params``, from now on, or with the current fast weights."""
        if params is not None:
            self.update_params(params)
        now = self.fast_params
        if now is None:
            raise MetaoptError("This functional module has no fast weights yet; call it with params=[...].")
        # Only the plain forms of attention and of bags can be differentiated twice.
        given, fast, twice = (inputs, keywords), self._fast, self._fast.track and torch.is_grad_enabled()
        plain = sdpa_kernel(SDPBackend.MATH) if twice else nullcontext()
        bags = Composed(F.embedding_bag) if twice and fast.bags else nullcontext()
        with plain, bags, fast.caches.watch(now, given), fast.watch(now, given, self.training):
            outputs = super().__call__(*inputs, **keywords)
        if not self._fast.checked and torch.is_grad_enabled() and not autodiff.inside_transform():
            self._fast.check(now, (inputs, keywords), outputs)
        return outputs

    __call__ = _run

    @property
    def fast_params(self) -> list[Tensor] | None:
        """Return the current parameters, in the module's order; None if there are none yet."""
        return self._fast.current()

    @fast_params.setter
    def fast_params(self, params: Iterable[Tensor]) -> None:
        self.update_params(params)

    @property
    def init_fast_params(self) -> list[Tensor]:
        """Return the parameters before the first step."""
        return self.parameters(time=0)

    @property
    def track_higher_grads(self) -> bool:
        """Tell whether the parameters of every step are kept."""
        return self._fast.track

    @track_higher_grads.setter
    def track_higher_grads(self, value: bool) -> None:
        self._fast.track = check_flag("track_higher_grads", value)

    def parameters(self, recurse: bool = True, time: int | None = None) -> Any:
        """Return the parameters after a number of steps.

        Args:
            recurse: As in torch, with False only those that belong to no submodule.
            time: Number of steps; None or -1 stands for all so far. Without tracking, only the first and the last are
                kept.

        Returns:
            The parameters, in the module's order.

        Raises:
            MetaoptError: So many steps were not taken, or are not kept.
        """
        return Listed(p for _, p in self.named_parameters(recurse=recurse, time=time))

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True, time: int | None = None
    ) -> Any:
        """Return the names and the parameters after a number of steps.

        Args:
            prefix: What the names begin with.
            recurse: As for :meth:`parameters`.
            remove_duplicate: With False a tied parameter is named once for each of its places.
            time: As for :meth:`parameters`.

        Returns:
            Pairs of a name and a parameter.
        """
        self._fast.current()  # which takes note of weights that were assigned
        if time is None and (prefix or not recurse or not remove_duplicate):
            return super().named_parameters(prefix, recurse, remove_duplicate)
        return Listed(zip(self._fast.names, self._fast.at(-1 if time is None else time), strict=True))

    def update_params(self, params: Iterable[Tensor]) -> None:
        """Set the current parameters.

        Args:
            params: The parameters, in the module's order.

        Raises:
            MetaoptError: They are not as many, or not of the shapes, that the module has.
        """
        self._fast.append(params)

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Tensor) and name in self.__dict__.get("_parameters", ()):
            self._parameters[name] = value  # type: ignore[assignment]  # no nn.Parameter, which has no history
        else:
            super().__setattr__(name, value)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> FunctionalModule:
        """Move or convert, as ``to`` and ``double`` do, differentiably."""
        for module in self.modules():
            for name, buffer in module._buffers.items():
                module._buffers[name] = None if buffer is None else fn(buffer)
        self._fast.replace([fn(p) for p in self.fast_params or ()])
        return self


class FastWeights:
    """Hold the parameters of a functional module after each step, and the places where they go.

    Args:
        module: The original module.
        template: Its copy.
        track: Whether to keep the parameters of every step.
    """

    def __init__(self, module: nn.Module, template: nn.Module, track: bool = True):
        self.names = [name for name, _ in template.named_parameters()]
        own = list(template.parameters())
        number = {id(p): i for i, p in enumerate(own)}
        self.places: list[list[tuple[nn.Module, str]]] = [[] for _ in own]
        for part in template.modules():
            for name, p in part._parameters.items():
                if p is not None:
                    self.places[number[id(p)]].append((part, name))
        self.shapes, self.track = [p.shape for p in own], track
        self.history: list[list[Tensor]] = []
        named = [*module.named_parameters(), *zip(self.names, own, strict=True)]
        self.foreign = [(f"parameter {name}", p) for name, p in named]
        self.foreign += [(f"buffer {name}", b) for name, b in module.named_buffers()]
        self.watched: set[bool] = set()
        self.caches = Caches(template, self.names)
        self.bags = any(isinstance(part, nn.EmbeddingBag) for part in template.modules())
        self.checked = self.packs = False
        self.compiled = any(hasattr(part, "_orig_mod") for part in template.modules())
        self.recurrent = [part for part in template.modules() if isinstance(part, nn.RNNBase)]
        for part in self.recurrent:  # which would give the fast weights another storage
            part.__dict__["flatten_parameters"] = lambda: None

    def current(self) -> list[Tensor] | None:
        """The parameters as they are now, also those that were assigned to a submodule."""
        if not self.history:
            return None
        found = [places[0][0]._parameters[places[0][1]] for places in self.places]
        if any(a is not b for a, b in zip(found, self.history[-1], strict=True)):
            self.append([b if a is None else a for a, b in zip(found, self.history[-1], strict=True)])
        return self.history[-1]

    def at(self, time: int) -> list[Tensor]:
        check_whole("time", time)
        if not -len(self.history) <= time < len(self.history):
            steps = max(len(self.history) - 1, 0)
            kept = f"{steps} steps are kept" if self.track else "only the first and the last are kept"
            raise MetaoptError(f"There are no parameters at time {time}: {kept}.")
        return self.history[time]

    def append(self, params: Iterable[Tensor]) -> None:
        if isinstance(params, Tensor) or not isinstance(params, Iterable):
            raise MetaoptError(f"params is a list of tensors in the module's order, but got {said(params)}.")
        if len(params := list(params)) != len(self.names):
            raise MetaoptError(f"The module has {len(self.names)} parameters, but {len(params)} were given.")
        for name, shape, p in zip(self.names, self.shapes, params, strict=True):
            if not isinstance(p, Tensor) or p.shape != shape:
                raise MetaoptError(f"The parameter {name} is a tensor of shape {tuple(shape)}, but got {said(p)}.")
        self.history = [*(self.history if self.track else self.history[:1]), params]
        self._fill(params)

    def replace(self, params: list[Tensor]) -> None:
        """Put other parameters in the place of the current ones, without a step."""
        if self.history:
            self.history[-1] = params
            self._fill(params)

    def _fill(self, params: list[Tensor]) -> None:
        for places, p in zip(self.places, params, strict=True):
            for part, name in places:
                part._parameters[name] = p  # type: ignore[assignment]
        for part in self.recurrent:
            part._flat_weights = [getattr(part, name, None) for name in part._flat_weights_names]

    @contextmanager
    def watch(self, now: list[Tensor], inputs: Any, mode: bool) -> Iterator[None]:
        """Watch the first run in training and in evaluation mode, and refuse what would be wrong in silence."""
        if autodiff.inside_transform() or not autodiff.values_known():
            yield
            return
        if mode in self.watched and not (self.track and self.packs):
            quiet = purity.ignored_warning("The .grad attribute of") if self.compiled else nullcontext()
            with purity.packing_refused(REPEATS) if self.track else nullcontext(), quiet:
                yield
            return
        # What is compiled runs as it is written, because a compiler cannot be watched.
        reads = purity.Reads([*now, *tree.leaves(inputs)], self.foreign)
        with torch.compiler.set_stance("force_eager"), reads as seen:
            yield
        self._refuse(seen.found)
        if seen.recomputes and self.track:
            raise MetaoptError(REPEATS)
        self.packs |= seen.packs
        self.watched.add(mode)

    def check(self, now: list[Tensor], inputs: Any, outputs: Any) -> None:
        """Refuse a module that ran with weights other than the fast ones, such as a closure over the original's."""
        found = [t for t in tree.leaves(outputs) if t.requires_grad]
        names = {id(p): name for name, p in self.foreign}
        reached = purity.leaves(found, [*now, *tree.leaves(inputs)])
        self._refuse(next((names[id(leaf)] for leaf in reached if id(leaf) in names), None))
        self.checked = bool(found)

    @staticmethod
    def _refuse(name: str | None) -> None:
        if name is not None:
            raise MetaoptError(
                f"The module runs with its own {name} instead of the fast weights, since it reaches it in another way "
                "than as an attribute, such as by a global name, a weak reference or a default value; reach it by self "
                "instead."
            )


def make_functional(
    module: nn.Module, encapsulator: Callable[[FunctionalModule, nn.Module], None] | None = None
) -> FunctionalModule:
    """Return a copy of a module that runs with the parameters it is given, ``fmodel(x, params=[...])``.

    Args:
        module: The module.
        encapsulator: A function of the copy and the module that is called before the copy is returned.

    Returns:
        The copy, without fast weights.

    Raises:
        MetaoptError: ``module`` is no module, scripted, lazy, functional, compiled by its forward alone, or cannot
            be copied.
    """
    check_instance("module", module, nn.Module)
    if encapsulator is not None:
        check_function("encapsulator", encapsulator, "fmodel", "module")
    for name, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule | FunctionalModule):
            what = "scripted" if isinstance(part, torch.jit.ScriptModule) else "functional already"
            raise MetaoptError(
                f"The module {name or type(part).__name__} is {what}, and its parameters cannot be replaced; give "
                "the module that it was made from."
            )
        alone = not hasattr(part, "_orig_mod") and vars(part).get("forward")
        if hasattr(alone, "_torchdynamo_orig_callable"):
            raise MetaoptError(f"The forward of {type(part).__name__} alone is compiled; compile the module instead.")
    for name, p in module.named_parameters():
        if isinstance(p, nn.parameter.UninitializedParameter):
            raise MetaoptError(f"The parameter {name} has no shape yet; run the module once before.")
    try:
        template = copy.deepcopy(module, memo := _shared(module))
    except (RuntimeError, TypeError) as error:
        raise MetaoptError(f"{type(module).__name__} cannot be copied for the inner loop: {error}.") from error
    shadows.connect(memo)
    template.__dict__["_fast"] = FastWeights(module, template)
    template.__class__ = types.new_class(f"Functional{type(module).__name__}", (FunctionalModule, type(template)))
    assert isinstance(template, FunctionalModule)
    if encapsulator is not None:
        encapsulator(template, module)
    return template


def _shared(module: nn.Module) -> dict[int, Any]:
    """What a copy shares with the module, for ``deepcopy``: objects that hooks report to. Results are copied here."""
    memo: dict[int, Any] = {}
    for part in module.modules():
        for value in vars(part).values():
            if isinstance(value, Tensor) and not value.is_leaf:  # a weight that a hook computes anew
                memo[id(value)] = value.detach().clone()
        for hooks in (part._forward_hooks, part._forward_pre_hooks, part._backward_hooks, part._backward_pre_hooks):
            for hook in hooks.values():
                owner = getattr(hook, "__self__", hook)
                if not isinstance(owner, nn.Module | types.FunctionType):
                    memo[id(owner)] = owner
    return memo


def monkeypatch(
    module: nn.Module,
    device: torch.device | str | None = None,
    copy_initial_weights: bool = True,
    track_higher_grads: bool = True,
) -> FunctionalModule:
    """Return a functional copy of a module, with copies of its parameters as the first fast weights.

    Args:
        module: The module.
        device: Where the copy lives. None: where the module is.
        copy_initial_weights: Whether the first fast weights are leaves of their own. With False they are computed from
            the module's parameters, which then receive gradients.
        track_higher_grads: Whether to keep the parameters of every step.

    Returns:
        The copy.

    Raises:
        MetaoptError: As :func:`make_functional`.
    """
    check_flag("copy_initial_weights", copy_initial_weights)
    fmodel = make_functional(module)
    fmodel.track_higher_grads = track_higher_grads
    if device is not None:
        try:
            fmodel.to(device)
        except (RuntimeError, TypeError) as error:
            raise MetaoptError(f"The functional module cannot be moved to {said(device)}: {error}.") from error
    fmodel.update_params(_first(p, device, copy_initial_weights) for p in module.parameters())
    return fmodel


def _first(p: Tensor, device: Any, copies: bool) -> Tensor:
    moved = p if device is None else p.to(device)
    return moved.detach().clone().requires_grad_(p.requires_grad) if copies else moved.clone()
