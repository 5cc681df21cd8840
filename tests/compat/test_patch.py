"""Functional copies of modules run with their fast weights wherever the weights are, or are refused."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint

import metaopt as mo
from metaopt import compat

from ..helpers import normal, seeded


class TwoPlaces(nn.Module):
    """A child that is also held in another way, in which it runs."""

    def __init__(self, hold: Callable[[nn.Module], Any]):
        super().__init__()
        self.child, self.last = nn.Linear(3, 3), nn.Linear(3, 2)
        self.held = hold(self.child)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.tanh((self.held if callable(self.held) else self.held[0])(x)))


class Sequence(nn.Module):
    """A layer that gives a sequence and what else it computes."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = x[None].expand(2, -1, -1)
        return self.layer(rows, rows, rows)[0] if isinstance(self.layer, nn.MultiheadAttention) else self.layer(rows)[0]


class Tied(nn.Module):
    """One layer in two places."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.second = self.first

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.tanh(self.first(x)))


def plain() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def with_hook() -> nn.Module:
    net = plain()
    net[2].register_forward_hook(lambda module, inputs, output: output * module.weight.sum())
    return net


def parametrized() -> nn.Module:
    norms = nn.utils.parametrizations
    return nn.Sequential(norms.weight_norm(nn.Linear(3, 4)), nn.Tanh(), norms.spectral_norm(nn.Linear(4, 2))).eval()


def compiled(part: int | None = None) -> nn.Module:
    net = plain()
    if part is None:
        return torch.compile(net, backend="eager")
    net[part] = torch.compile(net[part], backend="eager")
    return net


def closure() -> nn.Module:
    return TwoPlaces(lambda child: lambda x: child(x))


def hook_of_another() -> nn.Module:
    net = plain()
    first = net[0]
    net[2].register_forward_hook(lambda module, inputs, output: output * first.weight.sum())
    return net


def patched_forward() -> nn.Module:
    net = plain()
    old = net.forward
    net.forward = lambda x: 2 * old(x)  # type: ignore[method-assign]
    return net


class Bank:
    """An object that is no module and holds one."""

    def __init__(self, layer: nn.Module):
        self.layer = layer

    def first(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


class Detached(TwoPlaces):
    """What runs in the other way counts as a constant."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            there = self.held(x)
        return self.last(torch.tanh(self.child(x) - 2 * there))


AGREES: dict[str, Callable[[], nn.Module]] = {
    "plain": plain,
    "list": lambda: TwoPlaces(lambda child: [child]),
    "tuple": lambda: TwoPlaces(lambda child: (child,)),
    "dict": lambda: TwoPlaces(lambda child: {0: child}),
    "partial": lambda: TwoPlaces(functools.partial),
    "bound method": lambda: TwoPlaces(lambda child: child.forward),
    "tied": Tied,
    "hook": with_hook,
    "parametrized": parametrized,
    "lstm": lambda: Sequence(nn.LSTM(3, 4, batch_first=True)),
    "gru": lambda: Sequence(nn.GRU(3, 4, num_layers=2)),
    "attention": lambda: Sequence(nn.MultiheadAttention(3, 1, batch_first=True)),
    "transformer": lambda: Sequence(nn.TransformerEncoderLayer(3, 1, 8, dropout=0.0, batch_first=True)),
    "closure": closure,
    "hook of another": hook_of_another,
    "patched forward": patched_forward,
    "object": lambda: TwoPlaces(lambda child: (Bank(child).first,)),
    "closure under no_grad": lambda: Detached(lambda child: lambda x: child(x)),
    "compiled": compiled,
    "compiled child": lambda: compiled(0),
}


@pytest.mark.parametrize("name", AGREES)
def test_meta_gradients_are_those_of_functional_call(name: str) -> None:
    model, x = seeded(AGREES[name]), normal(9, 4, 3)
    with compat.innerloop_ctx(model, torch.optim.SGD(model.parameters(), 0.1)) as (fmodel, diffopt):
        for _ in range(2):
            diffopt.step(fmodel(x).square().sum())
        found = torch.autograd.grad(fmodel(x).square().sum(), fmodel.parameters(time=0))
    twin = model
    start = {n: p.detach().clone().requires_grad_() for n, p in twin.named_parameters()}
    now = start
    with sdpa_kernel(SDPBackend.MATH):
        for _ in range(2):
            loss = torch.func.functional_call(twin, now, (x,)).square().sum()
            slopes = torch.autograd.grad(loss, list(now.values()), create_graph=True)
            now = {n: p - 0.1 * g for (n, p), g in zip(now.items(), slopes, strict=True)}
        meta = torch.func.functional_call(twin, now, (x,)).square().sum()
    for a, b in zip(found, torch.autograd.grad(meta, list(start.values())), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def held_weight() -> nn.Module:
    return TwoPlaces(lambda child: [lambda x, w=child.weight: x @ w])


def hidden(call: Callable[[nn.Module, torch.Tensor], torch.Tensor]) -> Callable[[], nn.Module]:
    """A model that finds its layer as an attribute of a class, where no copy can take its place."""

    def place(child: nn.Module) -> Callable[..., Any]:
        registry = type("Registry", (), {"layer": child})
        return lambda x: call(registry.layer, x)

    return lambda: Detached(place)


in_class = hidden(lambda layer, x: layer(x))
class_value = hidden(lambda layer, x: x * layer.weight.mean().item())
inner_call = hidden(lambda layer, x: torch.func.functional_call(layer, {}, (x,)))


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("build", [held_weight, in_class, class_value, inner_call])
def test_a_weight_that_cannot_be_replaced_is_refused_at_the_first_call(
    build: Callable[[], nn.Module], grad: bool
) -> None:
    model = seeded(build)
    fmodel = compat.monkeypatch(model)
    words = r"own parameter \S+weight instead of the fast weights"
    with pytest.raises(mo.MetaoptError, match=words), torch.set_grad_enabled(grad):
        fmodel(normal(9, 4, 3))


class Checkpointed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = plain()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return checkpoint(self.body, x, use_reentrant=False)


def test_what_is_computed_again_in_the_backward_pass_is_refused_where_it_would_see_later_weights() -> None:
    model, x = seeded(Checkpointed), normal(9, 4, 3)
    with pytest.raises(mo.MetaoptError, match="again in the backward pass"):
        compat.monkeypatch(model)(x)
    opt = torch.optim.SGD(model.parameters(), 0.1)
    with compat.innerloop_ctx(model, opt, track_higher_grads=False) as (fmodel, diffopt):
        for _ in range(2):
            diffopt.step(fmodel(x).square().sum())
    for _ in range(2):
        opt.zero_grad()
        model.body(x).square().sum().backward()
        opt.step()
    for a, b in zip(fmodel.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(a, b)


class Switched(Checkpointed):
    """A module whose checkpointing, or other packing of saved tensors, is turned on later."""

    def __init__(self) -> None:
        super().__init__()
        self.checkpoints = self.packs = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autograd.graph.save_on_cpu() if self.packs else contextlib.nullcontext():
            return super().forward(x) if self.checkpoints else self.body(x)


@pytest.mark.parametrize("packs", [False, True])
def test_checkpointing_that_is_turned_on_after_the_first_call_is_refused(packs: bool) -> None:
    fmodel, x = compat.monkeypatch(seeded(Switched)), normal(9, 4, 3)
    fmodel.packs = packs
    before = fmodel(x)
    fmodel.checkpoints = True
    for _ in range(2):
        with pytest.raises(mo.MetaoptError, match="again in the backward pass"):
            fmodel(x)
    fmodel.checkpoints = False
    torch.testing.assert_close(fmodel(x), before)
    fmodel.track_higher_grads, fmodel.checkpoints = False, True
    torch.testing.assert_close(fmodel(x), before)


def test_an_error_of_the_module_itself_is_raised_as_it_is() -> None:
    fmodel = compat.monkeypatch(seeded(plain))
    fmodel(normal(9, 4, 3))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        fmodel(normal(9, 4, 5))


class PartlyCompiled(nn.Module):
    """A part is compiled, and the whole or a compiled function reads a layer that no copy can take the place of."""

    def __init__(self, read: Callable[[type], Callable[..., Any]]):
        super().__init__()
        self.first, self.second = torch.compile(nn.Linear(3, 3), backend="eager"), nn.Linear(3, 3)
        self.read = read(type("Registry", (), {"layer": self.second}))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x)) + self.read(x)


@pytest.mark.parametrize(
    "read",
    [
        lambda registry: lambda x: x * registry.layer.weight.mean().item(),
        lambda registry: lambda x: registry.layer(x).detach(),
        lambda registry: torch.compile(lambda x: x * registry.layer.weight.mean().detach(), backend="eager"),
    ],
)
def test_what_reads_the_original_beside_a_compiled_part_is_refused(read: Any) -> None:
    with pytest.raises(mo.MetaoptError, match=r"own parameter \S*second\.weight instead of the fast weights"):
        compat.monkeypatch(seeded(lambda: PartlyCompiled(read)))(normal(9, 4, 3))


def test_shapes_of_the_originals_weights_may_be_read() -> None:
    zeros = hidden(lambda layer, x: torch.zeros_like(layer.weight)[0])
    compat.monkeypatch(zeros())(torch.ones(4, 3))


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: torch.jit.script(plain()), "is scripted, and its parameters cannot be replaced"),
        (lambda: compat.monkeypatch(plain()), "is functional already"),
        (lambda: nn.LazyLinear(3), "has no shape yet"),
        (lambda: 3, "module must be a Module, but got 3"),
        (lambda: None, "module must be a Module"),
    ],
)
def test_what_cannot_be_functional_is_a_sentence(build: Callable[[], Any], words: str) -> None:
    with pytest.raises(mo.MetaoptError, match=words):
        compat.monkeypatch(build())


def test_the_originals_weights_may_be_inputs_and_penalties() -> None:
    model = plain()
    with compat.innerloop_ctx(model, torch.optim.SGD(model.parameters(), 0.1)) as (fmodel, diffopt):
        near = sum((a - b).square().sum() for a, b in zip(fmodel.parameters(), model.parameters(), strict=True))
        diffopt.step(fmodel(model[0].weight).sum() + near)


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale, self.linear = 1.0, nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * self.linear(x)

    def doubled(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * self(x)


def test_it_is_a_module_of_the_models_class() -> None:
    model = Scaled()
    fmodel, x = compat.monkeypatch(model), torch.ones(1, 3)
    assert isinstance(fmodel, nn.Module) and isinstance(fmodel, Scaled) and isinstance(fmodel, compat.FunctionalModule)
    assert list(fmodel.state_dict()) == list(model.state_dict())
    assert next(fmodel.parameters()).shape == (2, 3)
    fmodel.fast_params = [torch.ones(2, 3), torch.zeros(2)]
    assert torch.equal(fmodel(x), torch.full((1, 2), 3.0))
    assert torch.equal(fmodel.linear(x), fmodel(x))
    assert torch.equal(fmodel.doubled(x), 2 * fmodel(x))
    assert torch.equal(fmodel.state_dict()["linear.weight"], torch.ones(2, 3))
    for a, b in zip(fmodel.init_fast_params, model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_attributes_and_hooks_that_are_set_act_on_the_copy_alone() -> None:
    model, x, seen = Scaled(), torch.ones(1, 3), []
    fmodel = compat.monkeypatch(model)
    before = fmodel(x)
    fmodel.scale = 10
    torch.testing.assert_close(fmodel(x), 10 * before)
    assert model.scale == 1.0
    handle = fmodel.linear.register_forward_hook(lambda module, inputs, output: seen.append(output))
    fmodel(x)
    model(x)
    handle.remove()
    fmodel(x)
    assert len(seen) == 1


def test_hooks_of_the_model_report_to_the_object_that_they_did() -> None:
    class Recorder:
        def __init__(self) -> None:
            self.seen: list[torch.Tensor] = []

        def note(self, module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
            self.seen.append(output)

    model, recorder = Scaled(), Recorder()
    model.register_forward_hook(recorder.note)
    compat.monkeypatch(model)(torch.ones(1, 3))
    assert len(recorder.seen) == 1


def test_weights_that_are_assigned_are_the_current_ones() -> None:
    fmodel, x = compat.monkeypatch(nn.Sequential(nn.Linear(3, 2, bias=False))), torch.ones(1, 3)
    fmodel[0].weight = nn.Parameter(torch.ones(2, 3))
    assert torch.equal(fmodel(x), torch.full((1, 2), 3.0))
    assert torch.equal(fmodel.fast_params[0], torch.ones(2, 3))
    root = compat.monkeypatch(nn.Linear(3, 2, bias=False))
    weight = torch.ones(2, 3, requires_grad=True) * 2
    root.weight = weight
    assert root.fast_params[0] is weight
    assert torch.equal(root(x), torch.full((1, 2), 6.0))


def test_a_conversion_is_differentiable() -> None:
    fmodel = compat.monkeypatch(nn.Linear(3, 2)).double()
    (first, _) = fmodel.parameters(time=0)
    fmodel(torch.ones(1, 3, dtype=torch.float64)).sum().backward()
    assert first.dtype == torch.float64


def test_parameters_of_a_step_that_was_not_taken_are_a_sentence() -> None:
    fmodel = compat.monkeypatch(nn.Linear(3, 2))
    with pytest.raises(mo.MetaoptError, match="no parameters at time 3: 0 steps are kept"):
        fmodel.parameters(time=3)
    with pytest.raises(mo.MetaoptError, match=r"weight is a tensor of shape \(2, 3\), but got 1"):
        fmodel.update_params([1, 2])
    with pytest.raises(mo.MetaoptError, match="no fast weights yet"):
        compat.make_functional(nn.Linear(3, 2))(torch.ones(1, 3))
