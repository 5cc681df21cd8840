"""Differentiable optimizers against torch's own, for every class and every option that chooses another rule."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import metaopt as mo
from metaopt import compat

from ..cases.torch_optimizers import OPTIMIZERS
from ..helpers import normal, seeded

# torch keeps a factor of these two in the default dtype, float32.
TOLERANCE = {"ASGD": 1e-7, "NAdam": 1e-7}
DATA = [(normal(k, 7, 3), normal(k + 50, 7, 2)) for k in range(7)]


class Heads(nn.Module):
    """Two heads, of which each batch uses one, and a layer that is frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.frozen = nn.Linear(3, 4), nn.Linear(4, 4)
        self.heads = nn.ModuleList(nn.Linear(4, 2) for _ in range(2))
        self.frozen.requires_grad_(False)

    def forward(self, x: torch.Tensor, head: int) -> torch.Tensor:
        return self.heads[head](torch.tanh(self.frozen(torch.tanh(self.body(x)))))


def make(name: str, model: nn.Module) -> torch.optim.Optimizer:
    cls, options = OPTIMIZERS[name]
    groups = [{"params": model.body.parameters(), "lr": 0.5 * options["lr"]}]
    groups.append({"params": [*model.frozen.parameters(), *model.heads.parameters()]})
    return cls(groups, **options)


def torch_steps(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for k in steps:
        optimizer.zero_grad()
        F.mse_loss(model(DATA[k][0], k % 2 if k < 5 else 0), DATA[k][1]).backward()
        optimizer.step()


@pytest.mark.parametrize("before", [0, 1, 3])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_are_torchs_where_parameters_have_no_gradient_in_some(name: str, before: int) -> None:
    model = seeded(Heads)
    optimizer = make(name, model)
    torch_steps(model, optimizer, range(before))
    with compat.innerloop_ctx(model, optimizer) as (fmodel, diffopt):
        for k in range(before, 7):
            diffopt.step(F.mse_loss(fmodel(DATA[k][0], k % 2 if k < 5 else 0), DATA[k][1]))
    torch_steps(model, optimizer, range(before, 7))
    for found, expected in zip(fmodel.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=TOLERANCE.get(type(optimizer).__name__, 1e-12))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_meta_gradients_are_those_of_finite_differences(name: str) -> None:
    cls, options = OPTIMIZERS[name]
    numbers = {n: v for n, v in options.items() if n in ("lr", "weight_decay", "momentum", "lambd", "alpha", "rho")}
    start, values = normal(3, 4), torch.tensor(list(numbers.values()), dtype=torch.float64)
    target = normal(4, 4)

    def meta(start: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        override = {n: [v] for n, v in zip(numbers, values, strict=True)}
        optimizer = cls([p := torch.zeros(4, dtype=torch.float64, requires_grad=True)], **options)
        diffopt = compat.get_diff_optim(optimizer, [p], override=override)
        x = [start * 1]
        for k in range(4):
            x = diffopt.step((x[0] - target).sin().sum() + (k + 1) * (x[0] * start).cos().sum(), params=x)
        return x[0].square().sum()

    inputs = (start.requires_grad_(), values.requires_grad_())
    assert torch.autograd.gradcheck(meta, inputs, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_state_goes_back_to_torchs_optimizer(name: str) -> None:
    model = seeded(Heads)
    optimizer, twin = make(name, model), copy.deepcopy(model)
    other = make(name, twin)
    with compat.innerloop_ctx(model, optimizer) as (fmodel, diffopt):
        for k in range(3):
            diffopt.step(F.mse_loss(fmodel(DATA[k][0], k % 2), DATA[k][1]))
    file = io.BytesIO()
    torch.save(diffopt.state_dict(), file)
    file.seek(0)
    optimizer.load_state_dict(torch.load(file, weights_only=True))
    model.load_state_dict(fmodel.state_dict())
    torch_steps(model, optimizer, range(3, 6))
    torch_steps(twin, other, range(6))
    for found, expected in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("name", ["adam", "amsgrad", "rmsprop", "rmsprop, centered", "adagrad", "nadam"])
def test_gradients_of_exactly_zero_give_finite_meta_gradients(name: str) -> None:
    cls, options = OPTIMIZERS[name]
    p = torch.ones(3, dtype=torch.float64, requires_grad=True)
    diffopt = compat.get_diff_optim(cls([p], **options), [p])
    x = [p * 1]
    for _ in range(3):
        x = diffopt.step((x[0] * torch.tensor([0.0, 1.0, 2.0])).sum(), params=x)
    (found,) = torch.autograd.grad(x[0].square().sum(), p)
    assert torch.isfinite(found).all()


def test_complex_parameters_step_as_torchs() -> None:
    p = nn.Parameter(torch.complex(normal(0, 3), normal(1, 3)))
    optimizer = torch.optim.Adam([p], 0.1)
    diffopt = compat.get_diff_optim(optimizer, [p])
    x = [p]
    for k in range(3):
        x = diffopt.step((x[0] - k).abs().square().sum(), params=x)
    for k in range(3):
        optimizer.zero_grad()
        (p - k).abs().square().sum().backward()
        optimizer.step()
    torch.testing.assert_close(x[0], p.detach(), rtol=0, atol=1e-12)


class SGD(torch.optim.SGD):
    """A subclass of the same name that clips."""

    def step(self, closure: Any = None) -> Any:
        nn.utils.clip_grad_value_(self.param_groups[0]["params"], 1e-3)
        return super().step(closure)


class Lion(torch.optim.Optimizer):
    """An optimizer of somebody else: it follows the sign of the gradient."""

    def __init__(self, params: Any, lr: float):
        super().__init__(params, {"lr": lr})


class DifferentiableLion(compat.DifferentiableOptimizer):
    def _update(self, grouped_grads: list[list[Any]]) -> None:
        for group, gradients in zip(self.param_groups, grouped_grads, strict=True):
            for i, g in enumerate(gradients):
                if g is not None:
                    group["params"][i] = group["params"][i] - group["lr"] * g.sign()


def test_a_subclass_is_refused_though_its_name_is_torchs() -> None:
    model = nn.Linear(2, 1)
    with pytest.raises(mo.MetaoptError, match=r"test_optim\.SGD is a subclass of SGD .* register_optim\(SGD"):
        compat.get_diff_optim(SGD(model.parameters(), 0.1), model.parameters())


def test_a_class_that_is_registered_steps_by_its_form_and_its_subclasses_do_not() -> None:
    p = nn.Parameter(torch.ones(2))
    with pytest.raises(mo.MetaoptError, match=r"Lion has no differentiable form here; those that have are SGD, Adam"):
        compat.get_diff_optim(Lion([p], 0.1), [p])
    compat.register_optim(Lion, DifferentiableLion)
    lr = torch.tensor(0.5, requires_grad=True)
    (new,) = compat.get_diff_optim(Lion([p], 0.1), [p], override={"lr": [lr]}).step((p * 3).sum(), params=[p])
    torch.testing.assert_close(new, torch.tensor([0.5, 0.5]))
    assert torch.autograd.grad(new.sum(), lr)[0] == -2
    with pytest.raises(mo.MetaoptError, match="has no differentiable form"):
        compat.get_diff_optim(type("Cub", (Lion,), {})([p], 0.1), [p])


def test_options_are_learned_and_written_back() -> None:
    p = nn.Parameter(normal(0, 3))
    optimizer = torch.optim.Adam([p], 0.1, betas=(0.8, 0.9))
    override = compat.get_trainable_opt_params(optimizer)
    assert all(t.requires_grad for t in compat.utils.flatten(override))
    diffopt = compat.get_diff_optim(optimizer, [p], override=override)
    x = [p]
    for k in range(3):
        x = diffopt.step((x[0] - k).square().sum(), params=x)
    for found in torch.autograd.grad(x[0].sum(), [override["lr"][0], *override["betas"][0], override["eps"][0]]):
        assert torch.isfinite(found)
        assert found != 0
    with torch.no_grad():
        override["lr"][0] += 1.0
    compat.apply_trainable_opt_params(optimizer, override)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1.1)
    assert optimizer.param_groups[0]["betas"] == pytest.approx((0.8, 0.9))


def test_a_new_optimizer_needs_only_shapes() -> None:
    p = normal(0, 3).requires_grad_()
    diffopt = compat.create_diff_optim(torch.optim.SGD, {"lr": 0.1}, [{"params": [p], "lr": 0.5}])
    (new,) = diffopt.step(p.square().sum(), params=[p])
    torch.testing.assert_close(new, torch.zeros_like(p))


ONE = nn.Parameter(torch.ones(1))


def step_of(**given: Any) -> Any:
    p = nn.Parameter(torch.ones(2))
    diffopt = compat.get_diff_optim(torch.optim.SGD([p], 0.1), [p])
    return diffopt.step(**{"loss": p.sum(), "params": [p], **given})


def hooked() -> Any:
    p = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([p], 0.1)
    optimizer.register_step_pre_hook(lambda *_: None)
    return compat.get_diff_optim(optimizer, [p])


def sparse() -> Any:
    table = nn.Embedding(4, 2, sparse=True)
    diffopt = compat.get_diff_optim(torch.optim.SGD(table.parameters(), 0.1), table.parameters())
    return diffopt.step(table(torch.tensor([1])).sum(), params=table.parameters())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (hooked, "hooks around its steps, which are not run here; use grad_callback"),
        (sparse, r"\(4, 2\) float32 is torch.sparse_coo; build the embedding with sparse=False"),
        (lambda: step_of(loss=None), "a loss that is one real number, but got None"),
        (lambda: step_of(loss=torch.ones(2)), "one real number"),
        (lambda: step_of(loss=torch.ones(())), "does not depend on the current parameters"),
        (lambda: step_of(params=None), r"call step\(loss, params=parameters\)"),
        (lambda: step_of(params=[1]), "list of tensors"),
        (lambda: step_of(params=[]), "was made for 1 parameters, but 0"),
        (lambda: step_of(override=[0.1]), "override is a dict"),
        (lambda: step_of(override={"lr": 0.1}), "holds no list of values"),
        (lambda: step_of(override={"lr": ["fast"]}), "takes the place of 0.1, but got 'fast'"),
        (lambda: step_of(grad_callback=lambda gs: []), "was given 1 gradients, but returned 0"),
        (lambda: step_of(grad_callback=lambda gs: None), "was given 1 gradients, but returned None"),
        (lambda: step_of(grad_callback=3), "grad_callback must be"),
        (lambda: compat.create_diff_optim(torch.optim.SGD, params=3), "params must be"),  # type: ignore[arg-type]
        (lambda: compat.create_diff_optim(torch.optim.SGD, 3, [ONE]), "opt_kwargs must be"),  # type: ignore[arg-type]
        (lambda: compat.apply_trainable_opt_params(torch.optim.SGD([ONE]), 3), "override must be"),  # type: ignore[arg-type]
        (lambda: compat.make_functional(nn.Linear(2, 2), 3), "encapsulator must be"),  # type: ignore[arg-type]
        (lambda: compat.monkeypatch(nn.Linear(2, 2)).parameters(time=1.5), "time must be"),
        (lambda: compat.get_diff_optim(3, []), "opt must be an Optimizer"),  # type: ignore[arg-type]
        (lambda: compat.create_diff_optim(torch.optim.SGD), "needs params or fmodel"),
        (lambda: compat.create_diff_optim(torch.optim.SGD, {"lr": -1}, [torch.ones(1)]), "Invalid learning rate"),
        (lambda: compat.create_diff_optim(nn.Linear, {}, [torch.ones(1)]), "needs a class of torch.optim"),
        (lambda: compat.register_optim(Lion, nn.Linear), "needs a subclass of DifferentiableOptimizer"),
    ],
)
def test_what_does_not_fit_is_a_sentence(call: Any, words: str) -> None:
    with pytest.raises(mo.MetaoptError, match=words):
        call()
