"""``higher``'s own examples run unchanged, with the numbers of ``higher`` where it is right and of torch elsewhere."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import optimizer

import metaopt as mo
from metaopt import compat

from ..helpers import normal, seeded

DATA = [(normal(k, 7, 3), normal(k + 50, 7, 2)) for k in range(4)]


def network() -> nn.Module:
    return seeded(lambda: nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)))


OPTIMIZERS: dict[str, Any] = {
    "sgd": lambda p: torch.optim.SGD(p, 0.1, weight_decay=0.01),
    "momentum": lambda p: torch.optim.SGD(p, 0.1, momentum=0.8),
    "nesterov": lambda p: torch.optim.SGD(p, 0.1, momentum=0.8, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, 0.01, betas=(0.8, 0.95), weight_decay=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, 0.01),
    "rmsprop": lambda p: torch.optim.RMSprop(p, 0.01),
    "adagrad": lambda p: torch.optim.Adagrad(p, 0.1),
    "maximize": lambda p: torch.optim.SGD(p, 0.01, maximize=True),
}


@pytest.mark.parametrize("before", [0, 2])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_steps_are_torchs_also_from_an_optimizer_that_has_stepped(name: str, before: int) -> None:
    model = network()
    optimizer = OPTIMIZERS[name](model.parameters())

    def torch_step(x: torch.Tensor, y: torch.Tensor) -> None:
        optimizer.zero_grad()
        F.mse_loss(model(x), y).backward()
        optimizer.step()

    for x, y in DATA[:before]:
        torch_step(x, y)
    with compat.innerloop_ctx(model, optimizer) as (fmodel, diffopt):
        for x, y in DATA:
            diffopt.step(F.mse_loss(fmodel(x), y))
        found = fmodel.parameters()
    for x, y in DATA:
        torch_step(x, y)
    for a, b in zip(found, model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def readme(library: Any, model: nn.Module, opt: torch.optim.Optimizer) -> tuple[torch.Tensor, ...]:
    """The example of higher's README, with a meta-loss at its end."""
    with library.innerloop_ctx(model, opt) as (fmodel, diffopt):
        for xs, ys in DATA:
            logits = fmodel(xs)
            loss = F.mse_loss(logits, ys)
            diffopt.step(loss)
        meta = F.mse_loss(fmodel(DATA[0][0]), DATA[0][1])
        return torch.autograd.grad(meta, list(fmodel.parameters(time=0)))


@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov"])
def test_the_readmes_example_gives_highers_gradients(name: str) -> None:
    higher = pytest.importorskip("higher")
    ours, theirs = (readme(lib, m := network(), OPTIMIZERS[name](m.parameters())) for lib in (compat, higher))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["adam", "adamw", "rmsprop"])
def test_meta_gradients_are_those_of_the_unrolled_descent(name: str) -> None:
    updates = {
        "adam": mo.updates.Adam(0.01, 0.8, 0.95, weight_decay=0.01),
        "adamw": mo.updates.AdamW(0.01),
        "rmsprop": mo.updates.RMSprop(0.01),
    }
    model = network()
    found = readme(compat, model, OPTIMIZERS[name](model.parameters()))
    objective = mo.Objective(model, F.mse_loss, DATA)
    final = mo.unroll(mo.Descent(updates[name]), len(DATA))(objective).final
    meta = objective.at(0).energy(final)
    for a, b in zip(found, torch.autograd.grad(meta, list(model.parameters())), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("option", "value"), [("lr", 0.05), ("momentum", 0.7), ("betas", (0.8, 0.9)), ("eps", 1e-3)])
def test_an_option_that_is_overridden_gets_its_gradient(option: str, value: Any) -> None:
    name = "momentum" if option == "momentum" else "adam"
    numbers = torch.tensor(value, dtype=torch.float64, requires_grad=True)

    def meta(numbers: torch.Tensor) -> torch.Tensor:
        model = network()
        opt = OPTIMIZERS[name](model.parameters())
        with compat.innerloop_ctx(model, opt, override={option: [numbers]}) as (fmodel, diffopt):
            for x, y in DATA:
                diffopt.step(F.mse_loss(fmodel(x), y))
            return F.mse_loss(fmodel(DATA[0][0]), DATA[0][1])

    assert torch.autograd.gradcheck(meta, numbers, rtol=1e-4, atol=1e-9)


def test_the_models_own_weights_get_gradients_where_they_are_not_copied() -> None:
    model = network()
    opt = torch.optim.SGD(model.parameters(), 0.1)
    with compat.innerloop_ctx(model, opt, copy_initial_weights=False) as (fmodel, diffopt):
        diffopt.step(F.mse_loss(fmodel(DATA[0][0]), DATA[0][1]))
        F.mse_loss(fmodel(DATA[1][0]), DATA[1][1]).backward()
    assert all(float(p.grad.abs().sum()) > 0 for p in model.parameters())


def test_without_tracking_no_graph_is_kept_and_gradients_may_be_clipped() -> None:
    model = network()
    opt = torch.optim.SGD(model.parameters(), 1.0)
    with compat.innerloop_ctx(model, opt, track_higher_grads=False) as (fmodel, diffopt):
        for x, y in DATA:
            before = fmodel.parameters()
            after = diffopt.step(F.mse_loss(fmodel(x), y), grad_callback=lambda gs: [0.01 * g.sign() for g in gs])
            assert all(p.is_leaf and p.requires_grad for p in after)
            for a, b in zip(after, before, strict=True):
                torch.testing.assert_close((a - b).abs(), torch.full_like(a, 0.01))
        for a, b in zip(fmodel.parameters(time=0), model.parameters(), strict=True):
            assert torch.equal(a, b)


def test_buffers_are_the_copys_own_and_a_frozen_parameter_stays() -> None:
    model = seeded(lambda: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)))
    model[0].requires_grad_(False)
    opt = torch.optim.Adam(model.parameters(), 0.1)
    with compat.innerloop_ctx(model, opt) as (fmodel, diffopt):
        for x, y in DATA:
            diffopt.step(F.mse_loss(fmodel(x), y))
        assert torch.equal(fmodel.parameters()[0], model[0].weight)
        assert not torch.equal(fmodel.parameters()[2], model[1].weight)
        assert float(fmodel.get_buffer("1.running_mean").abs().sum()) > 0
        trained = fmodel.eval()(DATA[0][0])
    assert float(model[1].running_mean.abs().sum()) == 0
    assert model[1].training
    assert not torch.equal(trained, fmodel.train()(DATA[0][0]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_gradient_whose_square_overflows_is_survived_as_by_torch(dtype: torch.dtype) -> None:
    model = nn.Linear(1, 1, bias=False).to(dtype)
    opt, x = torch.optim.RMSprop(model.parameters(), 0.01, centered=True), torch.ones(1, 1, dtype=dtype)
    scales = [torch.finfo(dtype).max ** 0.75, 1.0, 1.0]
    with compat.innerloop_ctx(model, opt) as (fmodel, diffopt):
        for scale in scales:
            diffopt.step(scale * fmodel(x).sum())
        found = fmodel.parameters()[0]
    for scale in scales:
        opt.zero_grad()
        (scale * model(x).sum()).backward()
        opt.step()
    assert bool(torch.isfinite(model.weight).all())
    torch.testing.assert_close(found, model.weight)


def hooked(register: str) -> Any:
    def build(p: Any) -> torch.optim.Optimizer:
        parameters = list(p)
        getattr(parameters[0], register)(lambda g: None)
        return torch.optim.SGD(parameters, 0.1)

    return build


def clipping(wraps: bool) -> Any:
    """An optimizer whose step clips first, and which also may have a scheduler."""

    def build(p: Any) -> torch.optim.Optimizer:
        opt = torch.optim.SGD(p, 0.1)
        if wraps:
            torch.optim.lr_scheduler.StepLR(opt, 1)
        old = opt.step

        def step(closure: Any = None) -> Any:
            nn.utils.clip_grad_norm_(opt.param_groups[0]["params"], 0.01)
            return old(closure)

        opt.step = functools.wraps(old)(step) if wraps else step  # type: ignore[method-assign]
        return opt

    return build


@pytest.mark.parametrize("register", [f"register_optimizer_step_{when}_hook" for when in ("pre", "post")])
def test_hooks_around_the_steps_of_all_optimizers_are_refused(register: str) -> None:
    model = network()
    handle = getattr(optimizer, register)(lambda *inputs: None)
    try:
        with pytest.raises(mo.MetaoptError, match="hooks around its steps"):
            compat.get_diff_optim(torch.optim.SGD(model.parameters(), 0.1), model.parameters())
    finally:
        handle.remove()
    compat.get_diff_optim(torch.optim.SGD(model.parameters(), 0.1), model.parameters())


def test_a_scheduler_of_torch_may_count_the_steps() -> None:
    model = network()
    opt = torch.optim.SGD(model.parameters(), 0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(opt, 1, 0.5)
    opt.step()
    scheduler.step()
    with compat.innerloop_ctx(model, opt) as (fmodel, diffopt):
        assert diffopt.param_groups[0]["lr"] == 0.05
        diffopt.step(fmodel(DATA[0][0]).sum())


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (hooked("register_hook"), "hooks on its gradient"),
        (hooked("register_post_accumulate_grad_hook"), "hooks on its gradient"),
        (clipping(False), "step of this SGD was replaced"),
        (clipping(True), "step of this SGD was replaced"),
        (lambda p: torch.optim.LBFGS(p), "LBFGS has no differentiable form here; those that have are SGD, Adam"),
        (lambda p: torch.optim.SGD([nn.Parameter(torch.ones(1))], 0.1), "1 parameters that the model has not"),
    ],
)
def test_what_has_no_differentiable_form_is_a_sentence(build: Any, words: str) -> None:
    model = network()
    with pytest.raises(mo.MetaoptError, match=words), compat.innerloop_ctx(model, build(model.parameters())):
        pass


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ({"alpha": [0.1]}, "SGD has no option 'alpha' to override; it has lr, momentum, dampening, weight_decay"),
        ({"betas": [(0.1, 0.2)]}, "SGD has no option 'betas' to override"),
        ({"lr": [0.1, 0.2]}, "holds 2 values for 1 parameter groups"),
    ],
)
def test_overrides_that_do_not_fit_are_sentences(override: Any, words: str) -> None:
    model = network()
    opt = torch.optim.SGD(model.parameters(), 0.1)
    with pytest.raises(mo.MetaoptError, match=words), compat.innerloop_ctx(model, opt, override=override):
        pass


def test_parameters_must_be_as_many_as_the_module_has() -> None:
    model = network()
    opt = torch.optim.SGD(model.parameters(), 0.1)
    with compat.innerloop_ctx(model, opt) as (fmodel, _), pytest.raises(mo.MetaoptError, match="has 4 parameters"):
        fmodel(DATA[0][0], params=[torch.ones(1)])


class Stateful(nn.Module):
    """It goes on from the features of its last call, which are state, and reads a context that is set from outside."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3, dtype=torch.float64)
        self.state: Any = None
        self.context: Any = 0.0
        self.seen: list[Any] = []

    def forward(self, x: Tensor) -> Tensor:
        y = torch.tanh(self.layer(x) + (0 if self.state is None else self.state) + self.context)
        self.state = y.detach()
        self.seen.append(self.layer.weight.detach().norm())  # which nothing reads
        return y


def test_state_and_what_is_only_kept_to_be_looked_at_are_no_caches() -> None:
    net, x = Stateful(), normal(0, 4, 3)
    with compat.innerloop_ctx(net, torch.optim.SGD(net.parameters(), 0.1)) as (functional, stepper):
        for _ in range(3):
            y = functional(x)
            functional.context = y.mean(0)
            stepper.step(y.square().sum())
        assert len(functional.seen) == 3
    own, state, context = list(net.layer.parameters()), 0.0, 0.0
    for _ in range(3):
        y = torch.tanh(x @ own[0].T + own[1] + state + context)
        state, context = y.detach(), y.mean(0)
        slopes = torch.autograd.grad(y.square().sum(), own, create_graph=True)
        own = [p - 0.1 * g for p, g in zip(own, slopes, strict=True)]
    torch.testing.assert_close(list(functional.parameters()), own)
