"""What an optimizer by an update does with odd gradients, dtypes, schedules and states, as torch's own do."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch import nn

import metaopt as mo
from metaopt.optim import as_torch

from ..cases.updates import learned_adam
from ..helpers import seeded

UPDATES = {
    "sgd": (lambda: mo.updates.Sgd(0.1), lambda p: torch.optim.SGD(p, 0.1)),
    "momentum": (lambda: mo.updates.Momentum(0.1), lambda p: torch.optim.SGD(p, 0.1, momentum=0.9)),
    "adam": (lambda: mo.updates.Adam(0.01), lambda p: torch.optim.Adam(p, 0.01)),
    "adamw": (lambda: mo.updates.AdamW(0.01), lambda p: torch.optim.AdamW(p, 0.01)),
    "rmsprop": (lambda: mo.updates.RMSprop(0.01), lambda p: torch.optim.RMSprop(p, 0.01)),
}
LEARNED = {
    "perceptron": lambda: learned_adam(mo.networks.Perceptron).float(),
    "recurrent": lambda: learned_adam(mo.networks.Recurrent).float(),
    "lstm": lambda: seeded(lambda: mo.updates.CoordinatewiseLstm(4)).float(),
    "meta-lstm": lambda: seeded(lambda: mo.updates.MetaLstm(3)).float(),
}


@pytest.mark.parametrize("name", UPDATES)
def test_a_parameter_without_gradient_keeps_its_count_and_memory(name: str) -> None:
    """The one that waited steps once in the next step, whatever the counts of the others."""
    pairs = []
    for build in UPDATES[name]:
        parameters = [nn.Parameter(torch.ones(2, dtype=torch.float64)) for _ in range(3)]
        pairs.append((parameters, build(parameters) if build is UPDATES[name][1] else as_torch(build(), parameters)))
    for k in range(6):
        for parameters, optimizer in pairs:
            for i, p in enumerate(parameters):
                p.grad = None if (k + i) % 3 == 0 or (i == 2 and k < 3) else torch.full_like(p, k + i + 0.5)
            optimizer.step()
    for ours, theirs in zip(pairs[0][0], pairs[1][0], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
        assert pairs[0][1].state[ours]["step"] == pairs[1][1].state[theirs].get("step", pairs[0][1].state[ours]["step"])


@pytest.mark.parametrize(("dtype", "size"), [(torch.float32, 1e25), (torch.float16, 400.0), (torch.float64, 1e200)])
@pytest.mark.parametrize("name", ["adam", "adamw", "rmsprop"])
def test_after_a_gradient_whose_square_overflows_it_goes_on_as_torchs(
    name: str, dtype: torch.dtype, size: float
) -> None:
    found = []
    for build in UPDATES[name]:
        p = nn.Parameter(torch.ones(3, dtype=dtype))
        optimizer = build([p]) if build is UPDATES[name][1] else as_torch(build(), [p])
        for k in range(4):
            p.grad = torch.full_like(p, size if k == 1 else 0.1)
            optimizer.step()
        found.append(p.detach())
    assert torch.isfinite(found[0]).all()
    torch.testing.assert_close(*found, rtol=2e-3 if dtype == torch.float16 else 1e-6, atol=0)


@pytest.mark.parametrize("name", LEARNED)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_a_learned_update_works_in_its_own_dtype(name: str, dtype: torch.dtype) -> None:
    found = []
    for kind in (dtype, torch.float32):
        p = nn.Parameter(torch.linspace(-1, 1, 5).to(dtype).to(kind))
        optimizer = as_torch(LEARNED[name](), [p])
        for k in range(4):
            p.grad = torch.full_like(p, 0.25 * (k + 1))
            optimizer.step()
        memory = [v for n, v in optimizer.state[p].items() if n.startswith("memory")]
        assert all(v.dtype == torch.float32 for v in memory)
        found.append(p.detach().double())
    torch.testing.assert_close(*found, rtol=0, atol=1e-6 if dtype == torch.float64 else 0.03)


def test_an_overflow_of_the_working_dtype_leaves_a_learned_update_finite() -> None:
    p = nn.Parameter(torch.ones(3, dtype=torch.float64))
    optimizer = as_torch(LEARNED["perceptron"](), [p])
    for k in range(3):
        p.grad = torch.full_like(p, 1e200 if k == 0 else 0.1)
        optimizer.step()
    assert torch.isfinite(p).all()


@pytest.mark.parametrize("name", LEARNED)
def test_a_padding_row_stays_and_other_rows_move_from_their_first_gradient_on(name: str) -> None:
    table = seeded(lambda: nn.Embedding(5, 3, padding_idx=0))
    before = table.weight.detach().clone()
    optimizer = as_torch(LEARNED[name](), table.parameters())
    for token in (1, 1, 2):
        optimizer.zero_grad()
        (table(torch.tensor([0, token])) - 1).square().sum().backward()
        optimizer.step()
    moved = (table.weight.detach() - before).abs().sum(dim=1) > 0
    assert moved.tolist() == [False, True, True, False, False]


def test_a_state_remembers_in_its_dtype_which_entries_have_moved() -> None:
    p = nn.Parameter(torch.ones(3, dtype=torch.bfloat16))
    optimizer = as_torch(LEARNED["perceptron"](), [p])
    p.grad = torch.tensor([0.0, 1.0, 2.0], dtype=torch.bfloat16)
    optimizer.step()
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    q = nn.Parameter(p.detach().clone())
    other = as_torch(LEARNED["perceptron"](), [q])
    other.load_state_dict(torch.load(file, weights_only=True))
    for name, value in optimizer.state[p].items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, other.state[q][name])
            assert value.dtype == other.state[q][name].dtype
    for parameter, stepped in ((p, optimizer), (q, other)):
        parameter.grad = torch.zeros_like(parameter)
        stepped.step()
    assert torch.equal(p, q)
    assert p[0] == 1


@pytest.mark.parametrize("name", [*UPDATES, "perceptron"])
def test_one_cycle_at_its_defaults_is_torchs(name: str) -> None:
    found = []
    for build in UPDATES.get(name, (LEARNED["perceptron"],)):
        p = nn.Parameter(torch.ones(2, dtype=torch.float64))
        ours = build is not UPDATES.get(name, (0, 0))[1]
        rate = {"sgd": 0.1, "momentum": 0.1}.get(name, 0.01)
        optimizer: Any = as_torch(build(), [p]) if ours else build([p])
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0 if ours else rate, total_steps=8)
        for k in range(7):
            p.grad = torch.full_like(p, k + 0.5)
            optimizer.step()
            scheduler.step()
        found.append(p.detach())
    if name not in ("perceptron", "sgd", "rmsprop"):  # torch's SGD and RMSprop gain a momentum, ours have none
        torch.testing.assert_close(*found, rtol=1e-9, atol=1e-12)
    assert torch.isfinite(found[0]).all()


@pytest.mark.parametrize("lr", [torch.tensor(0.5), torch.tensor([0.5])])
def test_a_rate_may_be_a_tensor(lr: torch.Tensor) -> None:
    p = nn.Parameter(torch.ones(2))
    optimizer = as_torch(mo.updates.Sgd(1.0), [p], lr=lr)
    p.grad = torch.ones(2)
    optimizer.step()
    assert torch.equal(p.detach(), torch.tensor([0.5, 0.5]))


def stepped(build: Any, shape: tuple[int, ...] = (2,)) -> dict[str, Any]:
    p = nn.Parameter(torch.ones(shape))
    optimizer = build([p])
    p.grad = torch.ones(shape)
    optimizer.step()
    return optimizer.state_dict()


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (lambda: stepped(torch.optim.Adam), "another optimizer, since it holds 'exp_avg'; one by Adam"),
        (
            lambda: torch.optim.SGD([torch.ones(2)], 0.1).state_dict(),
            "since it holds 'weight_decay'",
        ),
        (
            lambda: stepped(lambda p: as_torch(mo.updates.RMSprop(0.1), p)),
            "by RMSprop, but this one is by Adam",
        ),
        (lambda: stepped(lambda p: as_torch(mo.updates.Adam(0.1), p), (3,)), r"shapes \[\(3,\), \(3,\)\], but Adam"),
        (
            lambda: as_torch(mo.updates.Adam(), [torch.ones(1), torch.ones(1)]).state_dict(),
            r"of \[2\] parameters",
        ),
        (dict, "a dict with 'state' and 'param_groups'"),
        (lambda: None, "a dict with 'state' and 'param_groups', but got None"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(state: Any, words: str) -> None:
    optimizer = as_torch(mo.updates.Adam(0.1), [nn.Parameter(torch.ones(2))])
    with pytest.raises(mo.MetaoptError, match=words):
        optimizer.load_state_dict(state())


def test_a_state_of_before_goes_on() -> None:
    """Version 0.1 did not store the name of the update."""
    state = stepped(lambda p: as_torch(LEARNED["perceptron"](), p))
    del state["update"], state["param_groups"][0]["momentum"]
    p = nn.Parameter(torch.ones(2))
    optimizer = as_torch(LEARNED["perceptron"](), [p])
    optimizer.load_state_dict(state)
    p.grad = torch.zeros(2)
    optimizer.step()
    assert optimizer.state[p]["step"] == 2
    assert (p != 1).all()


ONE = nn.Parameter(torch.ones(2))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: as_torch(3, [ONE]), "needs an update, such as metaopt.updates.Adam"),  # type: ignore[arg-type]
        (lambda: as_torch(mo.updates.Sgd, [ONE]), "needs an update"),  # type: ignore[arg-type]
        (lambda: as_torch(nn.Linear(2, 2), [ONE]), "needs an update"),
        (lambda: as_torch(mo.updates.Sgd(0.1), []), "takes the parameters of a network.*empty parameter list"),
        (lambda: as_torch(mo.updates.Sgd(0.1), None), "takes the parameters of a network"),  # type: ignore[arg-type]
        (lambda: as_torch(mo.updates.Sgd(0.1), 3), "takes the parameters of a network"),  # type: ignore[arg-type]
        (lambda: as_torch(mo.updates.Sgd(0.1), nn.Linear(2, 2)), "model.parameters"),  # type: ignore[arg-type]
        (lambda: as_torch(mo.updates.Sgd(0.1), ONE), "takes the parameters of a network"),
        (lambda: as_torch(mo.updates.Sgd(0.1), [1.0]), "takes the parameters of a network"),
        (lambda: as_torch(mo.updates.Sgd(0.1), [ONE * 2]), "non-leaf"),
        (lambda: as_torch(mo.updates.Sgd(0.1), [ONE, ONE]), "twice in a group"),
        (lambda: as_torch(mo.updates.Sgd(0.1), [{"lr": 0.1}]), "takes the parameters of a network.*'params'"),
        (lambda: as_torch(mo.updates.Sgd(0.1), [ONE], lr=None), "at least 0, but got None"),  # type: ignore[arg-type]
        (lambda: as_torch(mo.updates.Sgd(0.1), [ONE], lr=torch.ones(2)), "at least 0"),
        (lambda: as_torch(mo.updates.Sgd(0.1), [ONE], lr=float("nan")), "at least 0, but got nan"),
        (lambda: as_torch(mo.updates.Sgd(0.1), [{"params": ONE, "lr": -2}]), "at least 0, but got -2"),
        (
            lambda: as_torch(mo.updates.Sgd(0.1), [ONE]).step(3),
            "a function that computes the loss, or nothing, but got 3",
        ),
    ],
)
def test_what_does_not_fit_is_a_sentence(call: Any, words: str) -> None:
    with pytest.raises(mo.MetaoptError, match=words):
        call()


def test_named_parameters_and_late_groups_step() -> None:
    net = nn.Linear(2, 1)
    optimizer = as_torch(mo.updates.Adam(0.1), [("weight", net.weight)])
    net(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    optimizer.add_param_group({"params": [("bias", net.bias)]})
    optimizer.step()
    assert [optimizer.state[p]["step"] for p in net.parameters()] == [2, 1]
