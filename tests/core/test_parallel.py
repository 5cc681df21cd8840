"""An unrolled network inside the wrappers for several processes has the gradients of one process with all of the batch.

The wrappers look for the tensors of what a network returns: where they find none, they silently average nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import metaopt as mo
from metaopt.core.gradients import Backprop, Checkpointed, Implicit, Reversible, Truncated

from .. import ranks

WRAPPED = {"plain": {}, "unused": {"find_unused_parameters": True}, "static": {"static_graph": True}}


class Halves(nn.Module):
    """A change by two weights, one of float32, of which the second is for later steps."""

    def __init__(self) -> None:
        super().__init__()
        self.now = nn.Parameter(torch.full((1,), -0.05, dtype=torch.float64))
        self.later = nn.Parameter(torch.full((1, 1, 1), -0.02))

    def init(self, x: Tensor, context: Any) -> tuple[()]:
        return ()

    def forward(self, gradient: Tensor, x: Tensor, memory: Any, k: int, context: Any) -> tuple[Tensor, Any]:
        return (self.later if k else self.now) * gradient, memory


class Shrinking(Halves):
    """A change whose fixed point depends on both weights."""

    def forward(self, gradient: Tensor, x: Tensor, memory: Any, k: int, context: Any) -> tuple[Tensor, Any]:
        return self.now * gradient + self.later * x, memory


def _descent(strategy: Any) -> mo.core.Unrolled:
    """Numbers of float64 of each step and for all steps, and a fixed one, which is a buffer."""
    momentum = mo.Descent(mo.updates.Momentum(0.02, 0.5))
    opened = {"update.step_size": mo.per_step(3), "update.momentum": mo.shared(interval=(0, 1))}
    return mo.unroll(mo.parameterize(momentum, opened), 3, strategy)


def _coupled(strategy: Any) -> mo.core.Unrolled:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return mo.unroll(mo.models.irim(hidden=4, layers=1).algorithm, 3, strategy).double()


def _fixed_point(strategy: Any) -> mo.core.Unrolled:
    return mo.unroll(mo.Descent(Shrinking()), 2000, strategy)


def _halves(strategy: Any) -> mo.core.Unrolled:
    return mo.unroll(mo.Descent(Halves()), 1, strategy)


def _loss(net: nn.Module, rank: int | None = None) -> Tensor:
    """Of all four samples, or of the two that belong to a process."""
    mine = slice(None) if rank is None else slice(2 * rank, 2 * rank + 2)
    target = torch.randn(4, 1, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    kernel = torch.full((3, 3), 0.05, dtype=torch.float64)
    kernel[1, 1] = 0.8
    blur = mo.operators.Blur(kernel)
    problem = mo.InverseProblem(blur, blur(target)[mine], 0.5)
    return mo.trajectory_loss(net(problem), target[mine], mo.mse, weights="uniform")


def _gradients(net: nn.Module, rank: int | None = None, updates: int = 2) -> list[Any]:
    """Those of the last of several updates: some wrappers work differently in the first and in later ones."""
    for _ in range(updates):
        net.zero_grad()
        _loss(net, rank).backward()
    found = [p.grad for p in net.parameters()]
    whole = [g if g is None or not hasattr(g, "full_tensor") else g.full_tensor() for g in found]
    return [None if g is None else g.numpy() for g in whole]


def _close(ours: list[Any], theirs: list[Any]) -> bool:
    pairs = zip(ours, theirs, strict=True)
    return all((a is None and b is None) or abs(a - b).max() <= 1e-12 * max(abs(b).max(), 1e-3) for a, b in pairs)


CASES: list[tuple[Callable[..., Any], Any]] = [
    (_descent, Backprop()),
    (_descent, Truncated(2)),
    (_descent, Checkpointed(2)),
    (_coupled, Reversible()),
    (_fixed_point, Implicit(tolerance=1e-10)),
]


def _in_ddp(rank: int, options: dict[str, Any]) -> list[list[Any]]:
    return [_gradients(nn.parallel.DistributedDataParallel(make(how), **options), rank) for make, how in CASES]


@pytest.mark.parametrize("options", WRAPPED.values(), ids=WRAPPED)
def test_ddp_has_the_gradients_of_one_process(tmp_path: Path, options: dict[str, Any]) -> None:
    for found in ranks.run(tmp_path, _in_ddp, options):
        for (make, how), ours in zip(CASES, found, strict=True):
            assert _close(ours, _gradients(make(how))), (make, how)


def _with_unused(rank: int) -> list[Any]:
    return _gradients(nn.parallel.DistributedDataParallel(_halves(Backprop()), find_unused_parameters=True), rank)


def test_a_parameter_that_no_step_uses_has_no_gradient_in_ddp(tmp_path: Path) -> None:
    for found in ranks.run(tmp_path, _with_unused):
        assert _close(found, _gradients(_halves(Backprop())))
        assert found[0] is not None and found[1] is None


def _sharded(rank: int) -> list[list[Any]]:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    found = []
    for how in (Backprop(), Checkpointed(2), Reversible()):
        net = _coupled(how)
        fully_shard(net, mesh=init_device_mesh("cpu", (2,)), reshard_after_forward=True)
        found.append(_gradients(net, rank))
    return found


def test_sharded_parameters_have_the_gradients_of_one_process(tmp_path: Path) -> None:
    pytest.importorskip("torch.distributed.fsdp", reason="needs torch 2.6")
    expected = _gradients(_coupled(Backprop()))
    for found in ranks.run(tmp_path, _sharded):
        assert all(_close(ours, expected) for ours in found)


class Numbered(nn.Module):
    """A change by a convolution, times a number without an axis."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((2, 1, 3, 3), 0.05, dtype=torch.float64))
        self.number = nn.Parameter(torch.tensor(-0.1, dtype=torch.float64))

    def init(self, x: Tensor, context: Any) -> tuple[()]:
        return ()

    def forward(self, gradient: Tensor, x: Tensor, memory: Any, k: int, context: Any) -> tuple[Tensor, Any]:
        return self.number * nn.functional.conv2d(gradient, self.weight, padding=1).sum(1, keepdim=True), memory


def _numbered() -> mo.core.Unrolled:
    return mo.unroll(mo.Descent(Numbered()), 3, Checkpointed(2))


def _with_number(rank: int) -> list[Any]:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    net = _numbered()
    numbers = {p for p in net.parameters() if p.ndim == 0}
    fully_shard(net, mesh=init_device_mesh("cpu", (2,)), ignored_params=numbers)
    _loss(net, rank).backward()
    for number in numbers:
        dist.all_reduce(number.grad)
        number.grad /= 2
    return [(g.full_tensor() if hasattr(g, "full_tensor") else g).numpy() for g in (p.grad for p in net.parameters())]


def test_numbers_that_cannot_be_sharded_are_left_out(tmp_path: Path) -> None:
    for found in ranks.run(tmp_path, _with_number):
        assert _close(found, _gradients(_numbered()))


def test_a_trajectory_is_a_tree_of_its_readouts_and_state_for_torch() -> None:
    net = _descent(Backprop())
    y = torch.ones(2, 1, 3, 3, dtype=torch.float64)
    trajectory = net(mo.InverseProblem(mo.operators.Identity(), 2 * y, 0.5))
    tensors, how = pytree.tree_flatten(trajectory)
    assert all(isinstance(t, Tensor) for t in tensors)
    doubled = pytree.tree_unflatten([2 * t for t in tensors], how)
    assert type(doubled) is type(trajectory)
    assert torch.equal(doubled.final, 2 * trajectory.final)
    assert torch.equal(doubled.state.x, 2 * trajectory.state.x)
    assert (doubled.report, doubled.stop) == (trajectory.report, trajectory.stop)
