"""Networks as other people write them, and whatever the library substitutes, recomputes or differentiates in them.

A row of ``NETWORKS`` is a network from five inputs to outputs (5, 2); a row of ``CONSUMERS`` computes something with it
by the library, and the same by ``torch.func.functional_call`` and autograd. Every cell agrees, or is in ``REFUSED``.
"""

from __future__ import annotations

import collections
import functools
import warnings
import weakref
from collections.abc import Callable
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils import checkpoint

import metaopt as mo
from metaopt import tree
from metaopt.compat import innerloop_ctx
from metaopt.estimators import es

from .helpers import normal

D = torch.float64
Tensors = dict[str, Tensor]
Numbers = list[Tensor]


def linear() -> nn.Linear:
    return nn.Linear(3, 2, dtype=D)


class Elsewhere(nn.Module):
    """A layer that ``forward`` reaches by ``way`` instead of its attribute."""

    def __init__(self, way: Callable[[Elsewhere], Callable[[Tensor], Tensor]]):
        super().__init__()
        self.layer, self.norm = linear(), nn.Linear(2, 2, dtype=D)
        self.way = way(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(torch.tanh(self.way(x)))


class Listed(nn.Module):
    """Layers in a second place that torch does not know: a list, a dict or a nested module in a tuple."""

    def __init__(self, place: str):
        super().__init__()
        self.a, self.b = linear(), nn.Linear(2, 2, dtype=D)
        self.place = place
        self.layers = [self.a, nn.Tanh(), self.b]
        self.named = {"first": self.a, "rest": {"last": self.b}}
        self.nested = (nn.Sequential(self.a, nn.Tanh(), self.b),)

    def forward(self, x: Tensor) -> Tensor:
        if self.place == "dict":
            return self.named["rest"]["last"](torch.tanh(self.named["first"](x)))
        if self.place == "nested":
            return self.nested[0](x)
        for layer in self.layers:
            x = layer(x)
        return x


class BoundMethod(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = linear()
        self.run = self.smooth

    def smooth(self, x: Tensor) -> Tensor:
        return torch.tanh(self.layer(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.run(x)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.out = nn.Linear(3, 3, dtype=D), nn.Linear(3, 3, dtype=D), linear()
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.tanh(self.second(torch.tanh(self.first(x)))))


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.Module]):
        super().__init__()
        self.cell = kind(3, 2, dtype=D)

    def forward(self, x: Tensor) -> Tensor:
        return self.cell(x)[0]


class Attention(nn.Module):
    def __init__(self, fused: bool):
        super().__init__()
        self.read, self.write, self.fused = nn.Linear(3, 4, dtype=D), nn.Linear(4, 2, dtype=D), fused
        self.mix = nn.Identity() if fused else nn.MultiheadAttention(4, 2, dtype=D)

    def forward(self, x: Tensor) -> Tensor:
        q = self.read(x)[None, None]
        if self.fused:
            return self.write(F.scaled_dot_product_attention(q, q, q)[0, 0])
        return self.write(self.mix(q[0], q[0], q[0], need_weights=False)[0][0])


class Embedded(nn.Module):
    def __init__(self, sparse: bool = False, max_norm: float | None = None):
        super().__init__()
        self.table = nn.Embedding(7, 2, sparse=sparse, max_norm=max_norm, dtype=D)

    def forward(self, x: Tensor) -> Tensor:
        return self.table((x[:, 0].abs() * 3).long() % 7)


class Complex(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2, dtype=torch.complex128)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.layer(x.to(torch.complex128))).real


class Half(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = linear().bfloat16()

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.bfloat16()).double()


class Holder:
    """An object that is no module."""

    def __init__(self, module: nn.Module):
        self.module = module

    def __call__(self, x: Tensor) -> Tensor:
        return self.module(x)


class Slotted:
    """An object without a dict of attributes."""

    __slots__ = ("module",)

    def __init__(self, module: nn.Module):
        self.module = module

    def __call__(self, x: Tensor) -> Tensor:
        return self.module(x)


class Queued:
    """An object that has the layer in a container."""

    def __init__(self, module: nn.Module):
        self.waiting = collections.deque([module])

    def __call__(self, x: Tensor) -> Tensor:
        return self.waiting[0](x)


class Weak:
    """An object that does not keep the layer."""

    def __init__(self, module: nn.Module):
        self.reference = weakref.ref(module)

    def __call__(self, x: Tensor) -> Tensor:
        return self.reference()(x)


class Teacher(nn.Module):
    """It reads its layer a second time where no graph tells, and that by another way."""

    def __init__(self, way: Callable[[nn.Module], Callable[[Tensor], Tensor]]):
        super().__init__()
        self.layer = linear()
        self.held = Holder(way(self.layer))

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            taught = self.held(x)
        return self.layer(x) * torch.tanh(taught)


class OwnData(nn.Module):
    """It reads its weight by ``.data``, which no derivative of any order passes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = linear()

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) * self.layer.weight.data.norm()


class Kept(nn.Module):
    """It keeps what it once computed from its weight."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = linear()
        self.doubled = 2 * self.layer.weight

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.doubled.T + self.layer.bias


class Cached(nn.Module):
    """It fills a dict in its first call, with a constant or with what it computed from its weight."""

    def __init__(self, weight: bool):
        super().__init__()
        self.layer, self.weight = linear(), weight
        self.cache: dict[str, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        if "factor" not in self.cache:
            self.cache["factor"] = 2 * self.layer.weight if self.weight else torch.full((2, 3), 2.0, dtype=D)
        return torch.tanh(self.layer(x) + x @ self.cache["factor"].T)


class Remembering(nn.Module):
    """It computes something of its weight in its first call alone: in a ``place`` that a copy shares, or not."""

    def __init__(self, place: str, kind: Callable[[Tensor], Any] = Tensor.detach):
        super().__init__()
        self.layer, self.place, self.kind = linear(), place, kind
        self.kept: Any = None
        self.cache: dict[str, Any] = {}
        closed: list[Any] = []

        def closure(weight: Tensor) -> Any:
            if not closed:
                closed.append(kind(weight))
            return closed[0]

        self.closure = closure

    def forward(self, x: Tensor) -> Tensor:
        weight = self.layer.weight
        if self.place == "attribute":
            self.kept = self.kind(weight) if self.kept is None else self.kept
        kept = {"attribute": lambda: self.kept, "closure": lambda: self.closure(weight), "dict": self._from_dict}
        factor = torch.as_tensor(kept[self.place](), dtype=D)
        return torch.tanh(self.layer(x) + x @ factor.expand(2, 3).T)

    def _from_dict(self) -> Any:
        if "factor" not in self.cache:
            self.cache["factor"] = self.kind(self.layer.weight)
        return self.cache["factor"]


class Clipped(nn.Module):
    """Its forward pass changes its weight where no version counts it."""

    def __init__(self, way: str):
        super().__init__()
        self.layer, self.way = linear(), way

    def forward(self, x: Tensor) -> Tensor:
        weight = self.layer.weight
        if self.way == "in place":
            weight.data.clamp_(-0.1, 0.1)
        elif self.way == "set":
            weight.data = weight.data / 2
        else:
            weight.detach().numpy()[:] *= 0.5
        return torch.tanh(self.layer(x))


def hooked(before: bool) -> nn.Module:
    """What a hook computes depends on a layer that only the hook calls."""
    module = nn.Sequential(linear())
    module.register_module("extra", nn.Linear(3, 3, dtype=D) if before else nn.Linear(2, 2, dtype=D))
    extra = module.extra
    if before:
        module[0].register_forward_pre_hook(lambda m, inputs: (torch.tanh(extra(inputs[0])),))
    else:
        module[0].register_forward_hook(lambda m, inputs, output: output + extra(output))
    return nn.Sequential(_First(module))


class _First(nn.Module):
    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        return self.module[0](x)


def patched() -> nn.Module:
    module = linear()
    module.forward = functools.partial(nn.Linear.forward, module)
    return nn.Sequential(module, nn.Tanh())


def compiled(place: str) -> nn.Module:
    module = nn.Sequential(linear(), nn.Tanh(), nn.Linear(2, 2, dtype=D))
    if place == "wrapper":
        return nn.Sequential(torch.compile(module, backend="eager"))
    if place == "in place":
        module.compile(backend="eager")
    else:
        module.forward = torch.compile(module.forward, backend="eager")
    return module


class Encoder(nn.Module):
    """Layers of attention that take a faster way, without derivatives, where no graph seems to be recorded."""

    def __init__(self, mix: nn.Module):
        super().__init__()
        self.read, self.mix, self.write = nn.Linear(3, 4, dtype=D), mix, nn.Linear(4, 2, dtype=D)

    def forward(self, x: Tensor) -> Tensor:
        q = self.read(x)[None]
        if isinstance(self.mix, nn.MultiheadAttention):
            return self.write(self.mix(q, q, q)[0][0])
        return self.write(self.mix(q)[0])


class Repeated(nn.Module):
    """A part is computed again in the backward pass."""

    def __init__(self, part: nn.Module, reentrant: bool = False):
        super().__init__()
        self.first, self.part, self.reentrant = linear(), part, reentrant

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return checkpoint.checkpoint(lambda x: torch.tanh(self.part(x)), x, use_reentrant=self.reentrant)


class Folded(nn.Module):
    """Fused attention between its outputs."""

    def forward(self, x: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(x[None, None], x[None, None], x[None, None])[0, 0]


class Watched(nn.Module):
    """Its gradient is doubled at a tensor that it computes, where a graph is recorded."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.last = linear(), square()

    def forward(self, x: Tensor) -> Tensor:
        y = torch.tanh(self.layer(x))
        if y.requires_grad:
            y.register_hook(lambda g: 2 * g)
        return self.last(y)


def doubled(kind: str) -> nn.Module:
    """A network with a hook on a gradient."""
    module = small(square())
    if kind == "parameter":
        module[2].weight.register_hook(lambda g: 2 * g)
    elif kind == "accumulated":
        module[2].weight.register_post_accumulate_grad_hook(lambda p: None)
    else:
        module[2].register_full_backward_hook(lambda m, before, after: tuple(2 * g for g in before))
    return module


def quiet(make: Callable[[], nn.Module]) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates these
        return make()


def frozen() -> nn.Module:
    module = nn.Sequential(linear(), nn.Tanh(), nn.Linear(2, 2, dtype=D))
    module[0].requires_grad_(False)
    return module


def small(layer: nn.Module) -> nn.Module:
    return nn.Sequential(linear(), nn.Tanh(), layer)


def square() -> nn.Linear:
    return nn.Linear(2, 2, dtype=D)


def encoder_layer() -> nn.TransformerEncoderLayer:
    return nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True, dtype=D)


INPUT = normal(9, 5, 3)
parametrizations = nn.utils.parametrizations
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "plain": lambda: small(square()),
    "compiled": lambda: compiled("wrapper"),
    "compiled in place": lambda: compiled("in place"),
    "compiled forward": lambda: compiled("forward"),
    "scripted": lambda: quiet(lambda: torch.jit.script(small(square()))),
    "traced": lambda: quiet(lambda: torch.jit.trace(small(square()), INPUT)),
    "tied": Tied,
    "list": lambda: Listed("list"),
    "dict": lambda: Listed("dict"),
    "nested": lambda: Listed("nested"),
    "closure": lambda: Elsewhere(lambda module: lambda x: module.layer(x)),
    "closure over the layer": lambda: Elsewhere(lambda module: (lambda layer: lambda x: layer(x))(module.layer)),
    "default": lambda: Elsewhere(lambda module: lambda x, layer=module.layer: layer(x)),
    "partial": lambda: Elsewhere(lambda module: functools.partial(lambda layer, x: layer(x), module.layer)),
    "bound method": BoundMethod,
    "method of a layer": lambda: Elsewhere(lambda module: module.layer.forward),
    "pre-hook": lambda: hooked(before=True),
    "hook": lambda: hooked(before=False),
    "patched forward": patched,
    "object": lambda: Elsewhere(lambda module: Holder(module.layer)),
    "teacher": lambda: Teacher(lambda layer: layer),
    "teacher in an object": lambda: Teacher(Holder),
    "teacher in slots": lambda: Teacher(Slotted),
    "teacher in a queue": lambda: Teacher(Queued),
    "weak teacher": lambda: Teacher(Weak),
    "data": OwnData,
    "kept": Kept,
    "cache of a constant": lambda: Cached(weight=False),
    "cache of a weight": lambda: Cached(weight=True),
    "cache of a detached weight": lambda: Remembering("dict"),
    "cache of a number": lambda: Remembering("dict", lambda w: w.detach().norm().item()),
    "cache of an array": lambda: Remembering("dict", lambda w: w.detach().numpy() * 2),
    "cache in a closure": lambda: Remembering("closure"),
    "cache in an attribute": lambda: Remembering("attribute"),
    "data clipped in place": lambda: Clipped("in place"),
    "data set": lambda: Clipped("set"),
    "data by NumPy": lambda: Clipped("numpy"),
    "dropout": lambda: small(nn.Dropout(0.5)),
    "batch norm": lambda: small(nn.BatchNorm1d(2, dtype=D)),
    "batch norm in evaluation": lambda: small(nn.BatchNorm1d(2, dtype=D)).eval(),
    "old weight norm": lambda: quiet(lambda: small(nn.utils.weight_norm(square()))),
    "weight norm": lambda: small(parametrizations.weight_norm(square())),
    "old spectral norm": lambda: quiet(lambda: small(nn.utils.spectral_norm(square()))).eval(),
    "spectral norm": lambda: small(parametrizations.spectral_norm(square())).eval(),
    "orthogonal": lambda: small(parametrizations.orthogonal(square())),
    "frozen": frozen,
    "LSTM": lambda: Recurrent(nn.LSTM),
    "GRU": lambda: Recurrent(nn.GRU),
    "attention": lambda: Attention(fused=False),
    "fused attention": lambda: Attention(fused=True),
    "encoder layer in evaluation": lambda: Encoder(encoder_layer()).eval(),
    "encoder in evaluation": lambda: quiet(lambda: Encoder(nn.TransformerEncoder(encoder_layer(), 2)).eval()),
    "attention in evaluation": lambda: Encoder(nn.MultiheadAttention(4, 2, batch_first=True, dtype=D)).eval(),
    "repeated": lambda: Repeated(square()),
    "repeated reentrantly": lambda: Repeated(square(), reentrant=True),
    "repeated attention": lambda: Repeated(Folded()),
    "repeated batch norm": lambda: Repeated(nn.BatchNorm1d(2, dtype=D)),
    "hook on a parameter": lambda: doubled("parameter"),
    "hook after a gradient": lambda: doubled("accumulated"),
    "hook on a module's gradient": lambda: doubled("module"),
    "hook on a tensor": Watched,
    "embedding": Embedded,
    "sparse embedding": lambda: Embedded(sparse=True),
    "max_norm": lambda: Embedded(max_norm=0.1),
    "complex": Complex,
    "bf16": Half,
    "data parallel": lambda: nn.DataParallel(small(square())),
}


def loss(output: Tensor, target: Tensor) -> Tensor:
    return (output - target).square().mean()


TARGET = normal(8, 5, 2)


def learned(net: nn.Module) -> Tensors:
    return {name: p for name, p in net.named_parameters() if p.requires_grad}


def shifted(net: nn.Module, by: float = 0.1) -> Tensors:
    """Other tensors for the parameters."""
    return {
        n: (p.detach() + by * torch.cos(normal(i, *p.shape)).to(p)) for i, (n, p) in enumerate(learned(net).items())
    }


def called(net: nn.Module, tensors: Tensors, x: Tensor = INPUT, buffers: Tensors | None = None) -> Tensor:
    """The oracle: it puts everything back, and writes into ``buffers``, by default copies of the network's own."""
    if isinstance(net, nn.DataParallel):  # which functional_call refuses, but which is its module on the CPU
        return called(net.module, {name.removeprefix("module."): t for name, t in tensors.items()}, x, buffers)
    copies = buffers if buffers is not None else {name: b.detach().clone() for name, b in net.named_buffers()}
    # functional_call puts its tensors back before the backward pass, where checkpoint would read them.
    with sdpa_kernel(SDPBackend.MATH), mock.patch.object(checkpoint, "checkpoint", _plainly):
        return torch.func.functional_call(net, {**copies, **tensors}, (x,))


def _plainly(function: Callable[[Tensor], Tensor], x: Tensor, use_reentrant: bool) -> Tensor:
    return function(x)


def derived(value: Tensor, wanted: list[Tensor], again: bool = False) -> Numbers:
    found = torch.autograd.grad(value, wanted, create_graph=again, retain_graph=True, materialize_grads=True)
    return [g.to_dense() if g.is_sparse else g for g in found]


def gradient(
    net: nn.Module, tensors: Tensors, x: Tensor = INPUT, y: Tensor = TARGET, buffers: Tensors | None = None
) -> Tensors:
    found = derived(loss(called(net, tensors, x, buffers), y), list(tensors.values()), again=True)
    return dict(zip(tensors, found, strict=True))


def leafs(tensors: Tensors) -> Tensors:
    return {name: t.detach().clone().requires_grad_() for name, t in tensors.items()}


def descended(net: nn.Module, start: Tensors, steps: int, buffers: Tensors | None = None) -> Tensors:
    for _ in range(steps):
        slope = gradient(net, start, buffers=buffers)
        start = {name: p - 0.1 * slope[name] for name, p in start.items()}
    return start


def an_objective(net: nn.Module) -> tuple[Numbers, Numbers]:
    problem, x = mo.Objective(net, loss, [(INPUT, TARGET)]), leafs(shifted(net))
    got, expected = problem.gradient(x), gradient(net, x)
    return [problem.energy(x), *got.values()], [loss(called(net, x), TARGET), *expected.values()]


def a_meta_gradient(net: nn.Module) -> tuple[Numbers, Numbers]:
    problem = mo.Objective(net, loss, [(INPUT, TARGET)])
    start = list(learned(net).values())
    final = mo.unroll(mo.Descent(mo.updates.Sgd(0.1)), 2)(problem).final
    energies = problem.energy(final), loss(called(net, descended(net, learned(net), 2)), TARGET)
    got, expected = (derived(energy, start) for energy in energies)
    return got, expected


def trainings(net: nn.Module) -> tuple[Numbers, Numbers]:
    pair = [shifted(net, 0.1), shifted(net, 0.2)]
    x = leafs({name: torch.stack([one[name] for one in pair]) for name in pair[0]})
    held = torch.arange(5).expand(2, 5)
    problem = mo.problems.Trainings(net, loss, x, (INPUT, TARGET), held[:, None], held)
    expected = [gradient(net, {n: t[i] for n, t in x.items()}) for i in range(2)]
    return [*problem.gradient(x).values()], [torch.stack([one[n] for one in expected]) for n in x]


def an_adaptation(net: nn.Module) -> tuple[Numbers, Numbers]:
    episode = mo.Episode(INPUT[None].clone(), TARGET[None].clone(), INPUT[None] / 2)
    modes = {module: module.training for module in net.modules()}
    run = mo.unroll(mo.Adaptation(net, mo.updates.Sgd(0.1), loss), 2)(episode).final[0]
    assert modes == {module: module.training for module in net.modules()}
    buffers = {name: b.detach().clone() for name, b in net.named_buffers()}
    start = descended(net.train(), learned(net), 2, buffers)
    expected = called(net.eval(), start, INPUT / 2, buffers)
    for module, mode in modes.items():
        module.training = mode
    wanted = list(learned(net).values())
    got, exact = (derived(output.square().sum(), wanted) for output in (run, expected))
    return [run, *got], [expected, *exact]


def an_inner_loop(net: nn.Module) -> tuple[Numbers, Numbers]:
    with innerloop_ctx(net, torch.optim.SGD(net.parameters(), 0.1)) as (functional, optimizer):
        for _ in range(2):
            optimizer.step(loss(functional(INPUT), TARGET))
        got = [p for p in functional.parameters() if p.requires_grad]
    return got, [*descended(net, learned(net), 2).values()]


class Halved(mo.Algorithm[Tensor, Tensor, Tensor]):
    """x <- x / 2 + net(problem), which can be undone and has a fixed point."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = mo.slot(net)

    def init(self, problem: Tensor) -> Tensor:
        return torch.zeros(5, 2, dtype=D)

    def step(self, problem: Tensor, state: Tensor, k: int) -> Tensor:
        return state / 2 + self.net(k)(problem)

    def inverse_step(self, problem: Tensor, next_state: Tensor, k: int) -> Tensor:
        return 2 * (next_state - self.net(k)(problem))

    def readout(self, problem: Tensor, state: Tensor, k: int) -> Tensor:
        return state


def strategy(chosen: Any, steps: int, exact: bool = True) -> Callable[[nn.Module], tuple[Numbers, Numbers]]:
    """The gradient of a run by a strategy, and by autograd of the loop itself."""

    def compare(net: nn.Module) -> tuple[Numbers, Numbers]:
        wanted = list(learned(net).values())
        algorithm = Halved(net)
        torch.manual_seed(1)
        final = mo.unroll(algorithm, steps, chosen, keep="last")(INPUT).final
        got = derived((final**2).sum(), wanted)
        torch.manual_seed(1)
        x = torch.zeros(5, 2, dtype=D)
        for _ in range(steps):
            x = x / 2 + net(INPUT)
        return got, derived((x**2).sum(), wanted)

    return compare


def a_partition(net: nn.Module) -> tuple[Numbers, Numbers]:
    table = {id(p): t for p, t in zip(learned(net).values(), shifted(net).values(), strict=True)}
    tensors, rebuild = tree.partition(net)
    other: Any = rebuild([table.get(id(t), t) for t in tensors])
    return [other(INPUT)], [called(net, shifted(net))]


def a_copy(net: nn.Module) -> tuple[Numbers, Numbers]:
    """What parameterize returns has parameters of its own, which its steps read."""
    opened = mo.parameterize(Halved(net), {})
    with torch.no_grad():
        for name, p in opened.net.module.named_parameters():
            if name in (other := shifted(net)):
                p.copy_(other[name])
    return [mo.unroll(opened, 2)(INPUT).final], [1.5 * called(net, shifted(net))]


def an_estimate(net: nn.Module) -> tuple[Numbers, Numbers]:
    unrolled = mo.unroll(Halved(net), 1)
    found = es(unrolled, INPUT, lambda net, t, p, target: t.final.square().sum(), pairs=2, sigma=0.1, seed=0)
    stream = mo.core.random.generator(0, 0)
    own = learned(net)
    changes = {n: 0.1 * torch.randn(2, *p.shape, generator=stream, dtype=p.dtype) for n, p in own.items()}
    slopes = []
    for i in range(2):
        values = [
            called(net, {n: p.detach() + sign * changes[n][i] for n, p in own.items()}).square().sum()
            for sign in (1, -1)
        ]
        slopes.append((values[0] - values[1]) / 0.02)
    expected = [sum(s * c for s, c in zip(slopes, changes[n], strict=True)) / 2 for n in own]
    return list(found.gradients.values()), expected


def a_vmap(net: nn.Module) -> tuple[Numbers, Numbers]:
    run = mo.unroll(Halved(net), 2)
    return [mo.vmap(run)(torch.stack([INPUT, INPUT / 2])).final], [
        torch.stack([run(x).final for x in (INPUT, INPUT / 2)])
    ]


CONSUMERS: dict[str, Callable[[nn.Module], tuple[Numbers, Numbers]]] = {
    "Objective": an_objective,
    "meta-gradient": a_meta_gradient,
    "Trainings": trainings,
    "Adaptation": an_adaptation,
    "innerloop_ctx": an_inner_loop,
    "es": an_estimate,
    "partition": a_partition,
    "parameterize": a_copy,
    "Backprop": strategy(mo.Backprop(), 4),
    "Checkpointed": strategy(mo.Checkpointed(2), 4),
    "Reversible": strategy(mo.Reversible(), 4),
    "Implicit": strategy(mo.Implicit(tolerance=1e-13), 60),
    "vmap": a_vmap,
}

OBJECTIVES = "Objective meta-gradient Trainings Adaptation"
REPEATING = "Checkpointed Reversible Implicit"
# What is refused, by the network; every other cell agrees.
REFUSED: dict[str, str] = {
    "compiled forward": "innerloop_ctx",
    "scripted": f"{OBJECTIVES} {REPEATING} innerloop_ctx es partition",
    "traced": f"{OBJECTIVES} {REPEATING} innerloop_ctx es partition",
    "kept": f"{OBJECTIVES} es parameterize Checkpointed Reversible",
    "cache of a constant": REPEATING,
    "cache of a weight": f"{OBJECTIVES} {REPEATING} innerloop_ctx es",
    "cache of a detached weight": f"{OBJECTIVES} {REPEATING} innerloop_ctx es",
    "cache of a number": f"{OBJECTIVES} {REPEATING} innerloop_ctx es",
    "cache of an array": f"{OBJECTIVES} {REPEATING} innerloop_ctx es",
    "cache in a closure": f"{OBJECTIVES} innerloop_ctx es",
    "cache in an attribute": f"{REPEATING} innerloop_ctx",
    "data clipped in place": f"{OBJECTIVES} innerloop_ctx es",
    "data set": f"{OBJECTIVES} {REPEATING} innerloop_ctx es",
    "data by NumPy": f"{OBJECTIVES} Checkpointed innerloop_ctx es",
    "dropout": f"{OBJECTIVES} Reversible Implicit",
    "batch norm": REPEATING,
    "old weight norm": "parameterize",
    "repeated": "innerloop_ctx",
    "repeated reentrantly": f"{OBJECTIVES} Checkpointed Reversible innerloop_ctx",
    "repeated attention": f"{OBJECTIVES} innerloop_ctx",
    "repeated batch norm": f"{REPEATING} innerloop_ctx",
    "hook on a parameter": f"{OBJECTIVES} innerloop_ctx es",
    "hook after a gradient": f"{OBJECTIVES} innerloop_ctx es",
    "sparse embedding": f"{OBJECTIVES} innerloop_ctx",
    "max_norm": f"{OBJECTIVES} {REPEATING}",
}
# Cells without an oracle: other draws, rounding as large as the change, what torch cannot call functionally, a value
# that was kept from the very parameters that the loop starts at or that functional_call keeps itself, and networks that
# change their weights whenever they run.
INCOMPARABLE: dict[str, str] = {
    "dropout": "innerloop_ctx es partition parameterize vmap",
    "bf16": "es",
    "scripted": "parameterize",
    "traced": "parameterize",
    "kept": "innerloop_ctx",
    "cache in an attribute": "meta-gradient Adaptation es",
    "data set": "parameterize Backprop vmap",
    "data by NumPy": "parameterize Backprop Reversible vmap",
    "repeated reentrantly": "Backprop Implicit",  # torch's autograd.grad refuses both sides
}
CELLS = [
    (consumer, network)
    for network in NETWORKS
    for consumer in CONSUMERS
    if consumer not in INCOMPARABLE.get(network, "").split()
]
