"""A loss over a network's parameters, and a function of a tree."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metaopt.algorithms import Descent
from metaopt.core import MetaoptError, tree, unroll
from metaopt.problems import FirstOrder, FunctionObjective, Objective
from metaopt.updates import Sgd
from tests.updates.networks import NETWORKS, objective


@pytest.mark.parametrize("network", NETWORKS)
def test_energy_and_gradient_are_the_modules_own(network):
    problem = objective(network, batches=3)
    x, module = problem.start(), copy.deepcopy(problem.module)
    loss = sum(problem.loss(module(inputs), targets) for inputs, targets in problem.batches) / 3
    loss.backward()
    torch.testing.assert_close(problem.energy(x), loss, rtol=1e-12, atol=0)
    expected = {name: p.grad for name, p in module.named_parameters()}
    for gradient in (problem.gradient(x), problem.gradient_and_buffers(x, problem.buffers())[0]):
        assert gradient.keys() == expected.keys()
        for name in expected:
            torch.testing.assert_close(gradient[name], expected[name], rtol=1e-10, atol=1e-12)


def test_tied_weights_are_one_entry_and_stay_tied_in_a_detached_copy():
    problem = objective("tied")
    assert list(problem.start()) == ["embed.weight", "mix.weight", "mix.bias"]
    x = tree.map(lambda t: t + 1, problem.start())
    for same in (problem, tree.detach(problem), copy.deepcopy(problem)):
        network = same.network(x)
        assert network.embed.weight is x["embed.weight"] and network.out.weight is x["embed.weight"]
        torch.testing.assert_close(same.energy(x), problem.energy(x), rtol=0, atol=0)


def test_buffers_are_state_and_the_module_is_never_changed():
    problem = objective("batch_norm")
    before = copy.deepcopy(problem.module.state_dict())
    given = problem.buffers()
    kept = {name: b.clone() for name, b in given.items()}
    _, after = problem.gradient_and_buffers(problem.start(), given)
    assert int(after["1.num_batches_tracked"]) == 1
    assert not torch.equal(after["1.running_mean"], given["1.running_mean"])
    assert not any(t.requires_grad for t in after.values())
    assert all(torch.equal(given[name], kept[name]) for name in given)
    network = problem.network(problem.start(), after)
    network(problem.batches[0][0])
    assert int(after["1.num_batches_tracked"]) == 1, "the network works on copies"
    assert all(torch.equal(value, before[name]) for name, value in problem.module.state_dict().items())


def test_a_buffer_that_is_assigned_anew_is_state_too():
    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            self.calls = self.calls + 1
            return self.weight * x

    problem = Objective(Counter(), F.mse_loss, [(torch.ones(3), torch.zeros(3))])
    assert unroll(Descent(Sgd(0.1)), 4)(problem).state.buffers["calls"] == 4
    assert problem.module.calls == 0


def test_step_k_sees_minibatch_k_and_begins_again_after_the_last():
    problem = objective("mlp", batches=3)
    x = problem.start()
    energies = [problem.at(k).energy(x) for k in range(7)]
    assert energies[0] == energies[3] == energies[6] and energies[1] == energies[4]
    torch.testing.assert_close(torch.stack(energies[:3]).mean(), problem.energy(x))


def test_a_data_loader_gives_the_batches_and_a_tuple_of_inputs_is_several_arguments():
    loader = torch.utils.data.DataLoader(list(zip(torch.randn(6, 3), torch.randn(6, 2), strict=True)), batch_size=3)
    assert len(Objective(nn.Linear(3, 2), F.mse_loss, loader).batches) == 2
    bilinear, (a, b, y) = nn.Bilinear(3, 3, 2), (torch.randn(4, 3), torch.randn(4, 3), torch.randn(4, 2))
    problem = Objective(bilinear, F.mse_loss, [((a, b), y)])
    assert torch.equal(problem.energy(problem.start()), F.mse_loss(bilinear(a, b), y))


def test_frozen_parameters_are_not_optimised_and_the_start_is_learnable():
    module = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    module[0].requires_grad_(False)
    problem = Objective(module, F.mse_loss, [(torch.randn(5, 3), torch.randn(5, 2))])
    assert list(problem.start()) == ["1.weight", "1.bias"]
    problem.energy(unroll(Descent(Sgd(0.1)), 3)(problem).final).backward()
    assert module[1].weight.grad is not None and module[0].weight.grad is None


def test_a_function_of_a_tree_and_its_data():
    a, y = torch.randn(4, 3, dtype=torch.float64), torch.randn(4, dtype=torch.float64)
    start = {"x": torch.zeros(3, dtype=torch.float64), "offset": torch.zeros((), dtype=torch.float64)}
    problem = FunctionObjective(lambda p, a, y: (a @ p["x"] + p["offset"] - y).square().sum() / 2, start, (a, y))
    gradient = problem.gradient(start)
    torch.testing.assert_close(gradient["x"], -a.T @ y)
    torch.testing.assert_close(gradient["offset"], -y.sum())
    descent = unroll(Descent(Sgd(0.01)), 5)
    together = tree.vmap(lambda p: descent(p).final)(tree.stack([problem, problem]))
    torch.testing.assert_close(together["x"][1], descent(problem).final["x"], rtol=1e-12, atol=1e-14)


def test_first_order_gradients_have_no_graph():
    problem = FirstOrder(objective("mlp", batches=2))
    x = problem.start()
    assert all(g.requires_grad for g in problem.problem.gradient(x).values())
    assert not any(g.requires_grad for g in problem.gradient(x).values())


LINEAR, X, Y = nn.Linear(3, 2), torch.randn(4, 3), torch.randn(4, 2)


@pytest.mark.parametrize(
    ("module", "loss", "batches", "sentence"),
    [
        (nn.Tanh(), F.mse_loss, [(X, X)], "Tanh has no parameter that requires grad"),
        (nn.Linear(3, 2).requires_grad_(False), F.mse_loss, [(X, Y)], "call requires_grad_"),
        (torch.sin, F.mse_loss, [(X, Y)], "needs a module.* FunctionObjective"),
        (LINEAR, lambda out, y: (out - y).square(), [(X, Y)], r"must be one real number, but is \(4, 2\) float32"),
        (LINEAR, lambda out, y: float(out.detach().sum()), [(X, Y)], "but is float"),
        (LINEAR, lambda out, y: out.sum().to(torch.complex64), [(X, Y)], r"but is \(\) complex64"),
        (LINEAR, lambda out, y: out.sum() / 0, [(X, Y)], "at its start is -?(inf|nan)"),
        (LINEAR, F.mse_loss, [(X, Y), (X, Y * torch.nan)], "Batch 1 holds values that are NaN"),
        (LINEAR, F.mse_loss, (X, Y), r"list of pairs, as in \[\(inputs, targets\)\], but batch 0 is \(4, 3\) float32"),
        (LINEAR, F.mse_loss, X, "list of pairs.* not Tensor"),
        (LINEAR, F.mse_loss, [], "at least one batch"),
        (nn.Sequential(LINEAR, nn.Dropout()), F.mse_loss, [(X, Y)], "draws random numbers.* Dropout"),
    ],
)
def test_bad_objectives_are_refused_in_a_sentence(module, loss, batches, sentence):
    with pytest.raises(MetaoptError, match=sentence):
        Objective(module, loss, batches)


@pytest.mark.parametrize(
    ("function", "start", "data", "sentence"),
    [
        (torch.square, X, (), r"loss of square must be one real number, but is \(4, 3\)"),
        (torch.sum, torch.arange(3), (), r"starts from a floating or complex tensor.* \(3,\) int64"),
        (torch.sum, 1.0, (), "float of no tensor"),
        (F.mse_loss, X, X, "data is a tuple of arguments, not Tensor"),
        (torch.sum, X * torch.nan, (), "at its start is nan"),
    ],
)
def test_bad_functions_are_refused_in_a_sentence(function, start, data, sentence):
    with pytest.raises(MetaoptError, match=sentence):
        FunctionObjective(function, start, data)
