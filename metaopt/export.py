"""Trained networks outside of this library: as programs of ``torch.export`` and of ONNX, which run without it.

Example:
    >>> def problem(y, noise):
    ...     return metaopt.InverseProblem(metaopt.operators.Identity(), y, noise)
    >>> program = export_program(metaopt.models.load("denoise_grey"), problem, (y, noise), dynamic=[(2, 3), ()])
    >>> torch.export.save(program, "denoise.pt2")
    >>> export_onnx(program, "denoise.onnx")
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .core import MetaoptError, Unrolled
from .core.errors import require


class TensorModule(nn.Module):
    """A network as a module from tensors to a tensor; made by :func:`as_module`."""

    def __init__(self, net: Unrolled[Any, Any, Any], make_problem: Callable[..., Any]):
        super().__init__()
        self.net, self._make_problem = net, make_problem

    def forward(self, *tensors: Tensor) -> Tensor:
        final = self.net(self._make_problem(*tensors)).final
        return torch.view_as_real(final) if final.is_complex() else final


def as_module(net: Unrolled[Any, Any, Any], make_problem: Callable[..., Any]) -> TensorModule:
    """``net`` as a module whose inputs are the tensors that ``make_problem(*tensors)`` makes a problem of.

    Its output is the last readout, which is one tensor; complex ones are pairs of reals in a last axis of size 2, as
    ``torch.view_as_real`` gives them. ``make_problem`` takes pairs by ``torch.view_as_complex``.
    """
    return TensorModule(net, make_problem)


def export_program(
    net: Unrolled[Any, Any, Any],
    make_problem: Callable[..., Any],
    examples: Sequence[Tensor],
    dynamic: Sequence[Sequence[int]] = (),
) -> torch.export.ExportedProgram:
    """The network with the problem built inside, as a program that ``torch.export.save`` writes.

    Values are not checked in a program: what the constructor of a problem refuses goes through it.

    Args:
        net: an unrolled algorithm; it runs as many steps as it has.
        make_problem: as for :func:`as_module`.
        examples: the tensors to trace with. Sizes are those of the program, but along ``dynamic`` axes.
        dynamic: for every example the axes along which its size may differ, such as ``[(2, 3), ()]`` for the height and
            the width of y; by default none. The example's sizes there must be larger than the network's kernels.

    Raises: MetaoptError where ``dynamic`` has not one entry for every example.
    """
    if dynamic and len(dynamic) != len(examples):
        raise MetaoptError(
            f"dynamic names the axes of every example, () for none, but there are {len(examples)} examples and "
            f"{len(dynamic)} entries."
        )
    shapes = tuple(dict.fromkeys(axes, torch.export.Dim.AUTO) for axes in dynamic) if dynamic else None
    module = as_module(net, make_problem)
    return torch.export.export(
        module, tuple(examples), dynamic_shapes=None if shapes is None else (shapes,), strict=False
    )


def export_onnx(program: torch.export.ExportedProgram, path: Path | str) -> None:
    """Write a program of :func:`export_program` as an ONNX file.

    Raises: MetaoptError where an input or the output is complex, which runtimes do not take, or onnx is not installed.
    """
    require("onnx", "export")
    require("onnxscript", "export")
    inputs, _ = program.example_inputs or ((), {})
    if any(isinstance(t, Tensor) and t.is_complex() for t in inputs):
        raise MetaoptError(
            "ONNX files have no complex inputs; export the program with torch.view_as_real(y) as its example and "
            "torch.view_as_complex(y) in make_problem."
        )
    torch.onnx.export(program, dynamo=True, verbose=False).save(path)
