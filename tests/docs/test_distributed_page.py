"""The page on several processes: each program that it shows trains in two processes as one process does."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import nn

import metaopt as mo

from .. import ranks
from .test_elsewhere import blocks

PAGE = Path(__file__).parents[2] / "docs" / "distributed.rst"
DDP, FSDP, ACCELERATE, FABRIC = blocks(PAGE.read_text())


def _program(rank: int, code: str, folder: Path) -> list[Any]:
    """Run a program of the page as ``torchrun`` would, but for the meeting, which has taken place already."""
    os.chdir(folder)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="0", GROUP_RANK="0", TORCHELASTIC_RUN_ID="page")
    dist.init_process_group = lambda *_: None
    leave, dist.destroy_process_group = dist.destroy_process_group, lambda *_: None
    torch.manual_seed(0)
    scope: dict[str, Any] = {}
    try:
        exec(compile(code, str(PAGE), "exec"), scope)
    finally:
        dist.destroy_process_group = leave
    return [t.numpy() for t in _tensors(scope["net"])]


def _tensors(net: nn.Module) -> list[Any]:
    found = [p.detach() for p in net.parameters()]
    return [p if not hasattr(p, "full_tensor") else p.full_tensor() for p in found]


def _alone(code: str, numbers: Sequence[int], momentum: float = 0.0, updates: int = 3) -> nn.Module:
    """The same training in one process: the batches of each update one after the other."""
    scope: dict[str, Any] = {"torch": torch, "mo": mo}
    start = code.index("def batch")
    exec(code[start : code.index("\n\n\n", start)], scope)
    torch.manual_seed(0)
    net = mo.models.rim(hidden=4, kernels=[3], stride=2, steps=3)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=momentum)
    for update in range(updates):
        optimizer.zero_grad()
        for number in numbers:
            problem, target = scope["batch"](update, number)
            (mo.trajectory_loss(net(problem), target, mo.mse) / len(numbers)).backward()
        optimizer.step()
    return net


def _check(found: list[list[Any]], net: nn.Module) -> None:
    for tensors in found:
        for ours, theirs in zip(tensors, _tensors(net), strict=True):
            torch.testing.assert_close(torch.as_tensor(ours), theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.filterwarnings("ignore:Grad strides do not match")
def test_data_parallel_with_accumulated_gradients(tmp_path: Path) -> None:
    net = _alone(DDP, range(4))
    _check(ranks.run(tmp_path, _program, DDP, tmp_path), net)
    _check([_tensors(mo.models.load(tmp_path / "ddp.safetensors"))], net)


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled:UserWarning")
def test_sharded_parameters_and_their_checkpoint(tmp_path: Path) -> None:
    net = _alone(FSDP, range(2), momentum=0.9)
    _check(ranks.run(tmp_path, _program, FSDP, tmp_path), net)
    whole = mo.models.rim(hidden=4, kernels=[3], stride=2, steps=3)
    weights = whole.state_dict()
    dcp.load({"net": weights}, checkpoint_id=str(tmp_path / "parts"), no_dist=True)
    whole.load_state_dict(weights)
    _check([_tensors(whole)], _alone(FSDP, range(2), momentum=0.9, updates=2))


@pytest.mark.parametrize(("package", "code"), [("accelerate", ACCELERATE), ("lightning_fabric", FABRIC)])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_libraries_of_others(tmp_path: Path, package: str, code: str) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    importlib.import_module(package)  # once, for both processes
    net = _alone(code, range(2))
    _check(ranks.run(tmp_path, _program, code, tmp_path), net)
    file = tmp_path / f"{package.removeprefix('lightning_')}.safetensors"
    _check([_tensors(mo.models.load(file))], net)
