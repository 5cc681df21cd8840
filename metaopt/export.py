"""Export trained networks to ``torch.export`` and ONNX programs, which run without this library.

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

from .arguments.checks import check_function
from .arguments.contracts import checked
from .core import MetaoptError, Unrolled
from .foundation.extras import require


@checked
class TensorModule(nn.Module):
    """Run a network as a module from tensors to a tensor; :func:`as_module` makes it.

    Args:
        net: The unrolled network.
        make_problem: Makes the problem from the input tensors.
    """

    def __init__(self, net: Unrolled[Any, Any, Any], make_problem: Callable[..., Any]):
        super().__init__()
        self.net, self._make_problem = net, make_problem

    def forward(self, *tensors: Tensor) -> Tensor:
        check_function("make_problem", self._make_problem, *(f"tensor {i}" for i in range(len(tensors))))
        final = self.net(self._make_problem(*tensors)).final
        return torch.view_as_real(final) if final.is_complex() else final


@checked
def as_module(net: Unrolled[Any, Any, Any], make_problem: Callable[..., Any]) -> TensorModule:
    """Turn a network into a module from tensors to a tensor, which builds the problem itself.

    The output of the module is the last readout, which must be one tensor. A complex readout becomes pairs of reals
    along a last axis of size 2, as ``torch.view_as_real`` gives them; ``make_problem`` can read pairs by
    ``torch.view_as_complex``.

    Args:
        net: The unrolled network.
        make_problem: Makes the problem from the input tensors, ``make_problem(*tensors)``.

    Returns:
        The module.
    """
    return TensorModule(net, make_problem)


@checked
def export_program(
    net: Unrolled[Any, Any, Any],
    make_problem: Callable[..., Any],
    examples: Sequence[Tensor],
    dynamic: Sequence[Sequence[int]] = (),
) -> torch.export.ExportedProgram:
    """Export a network, with the problem built inside, to a program that ``torch.export.save`` writes.

    A program does not check values: it runs on inputs that the constructor of a problem would refuse.

    Args:
        net: The unrolled network. The program runs as many steps as it has.
        make_problem: As for :func:`as_module`.
        examples: The tensors to trace with. Their sizes are those of the program, except along ``dynamic`` axes.
        dynamic: For every example the axes along which its size may differ, such as ``[(2, 3), ()]`` for the height and
            the width of y. Empty: none. The sizes of the example along these axes must exceed the network's kernels.

    Returns:
        The program.

    Raises:
        MetaoptError: ``dynamic`` does not have one entry for every example.
    """
    if dynamic and len(dynamic) != len(examples):
        raise MetaoptError(
            f"dynamic names the axes of every example, () for none, but there are {len(examples)} examples and "
            f"{len(dynamic)} entries."
        )
    check_function("make_problem", make_problem, *(f"example {i}" for i in range(len(examples))))
    shapes = tuple(dict.fromkeys(axes, torch.export.Dim.AUTO) for axes in dynamic) if dynamic else None
    module = as_module(net, make_problem)
    return torch.export.export(
        module, tuple(examples), dynamic_shapes=None if shapes is None else (shapes,), strict=False
    )


@checked
def export_onnx(program: torch.export.ExportedProgram, path: Path | str) -> None:
    """Write a program of :func:`export_program` as an ONNX file.

    Args:
        program: The program.
        path: The file to write.

    Raises:
        MetaoptError: An input is complex, which runtimes do not take, or onnx is not installed.
    """
    require("onnx", "export")
    require("onnxscript", "export")
    inputs, _ = program.example_inputs or ((), {})
    if any(isinstance(t, Tensor) and t.is_complex() for t in inputs):
        raise MetaoptError(
            "ONNX files have no complex inputs; export the program with torch.view_as_real(y) as its example and "
            "torch.view_as_complex(y) in make_problem."
        )
    # Runtimes optimise what they load; doing it here takes minutes for a network of many steps.
    written = torch.onnx.export(program, dynamo=True, verbose=False, optimize=False)
    assert written is not None  # it is for the older exporter alone
    written.save(path)
