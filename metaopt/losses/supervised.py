"""Compare one output with a target, and refuse shapes that only fit by broadcasting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..arguments.checks import check_labels, check_tensor
from ..core import MetaoptError, autodiff, tree

IGNORED = -100  # the label that torch's cross entropy leaves out
WIDTH = 7  # voxels a side of the window in which the width of a branch is seen
FULL = 0.2  # of the window; a voxel of a branch that fills as much counts as one outside does
Loss = Callable[[Any, Any], Tensor]


def mse(output: Tensor, target: Tensor) -> Tensor:
    """Return the mean of ``|output - target|^2`` over all entries.

    Args:
        output: A real or complex tensor. The real and imaginary parts of a complex entry count as one entry.
        target: A tensor of the same shape, real if ``output`` is real and complex if it is complex.

    Returns:
        A scalar tensor.

    Raises:
        MetaoptError: The shapes differ, or one tensor is real and the other complex.
    """
    _check_alike("mse", output, target)
    return _squares(output, target).mean()


def negative_psnr(output: Tensor, target: Tensor) -> Tensor:
    """Return minus the peak signal-to-noise ratio in dB, averaged over the samples, for values with peak 1.

    This is the mean over samples of ``10 log10(mean |output - target|^2)``. Unlike with :func:`mse`, samples with
    little noise count as much as samples with much noise. The ratio of a sample is capped at 120 dB.

    Args:
        output: (B, ...), real or complex, with values whose peak is 1.
        target: A tensor of the same shape, real if ``output`` is real and complex if it is complex.

    Returns:
        A scalar tensor.

    Raises:
        MetaoptError: The shapes differ, one tensor is real and the other complex, or there is no batch axis.
    """
    _check_alike("negative_psnr", output, target)
    if output.ndim < 2:
        raise MetaoptError(f"negative_psnr is an average over samples (B, ...), but the output is {_said(output)}.")
    errors = _squares(output, target).flatten(1).mean(1)
    return 10 * errors.clamp_min(1e-12).log10().mean()


def cross_entropy(output: Tensor, target: Tensor) -> Tensor:
    """Return the mean of ``-log softmax(output)[target]``.

    Args:
        output: Scores, (..., classes).
        target: The index of the right class for each row of scores, integers of shape (...). Rows whose target is
            -100 do not count.

    Returns:
        A scalar tensor.

    Raises:
        MetaoptError: The shape of the target is not that of the output without its last axis, or the target is not of
            an integer type or, on the CPU, not the index of a class.
    """
    _check_tensors("cross_entropy", output, target)
    whole = not (target.is_floating_point() or target.is_complex())
    if not output.is_floating_point() or not output.ndim or output.shape[:-1] != target.shape or not whole:
        raise MetaoptError(
            "cross_entropy takes scores (..., classes) and one whole number for each, (...), but the output is "
            f"{_said(output)} and the target {_said(target)}."
        )
    if target.device.type == "cpu":  # elsewhere the loss would wait for the device
        check_labels("The target of cross_entropy", target.where(target != IGNORED, 0), output.shape[-1])
    return F.cross_entropy(output.reshape(-1, output.shape[-1]), target.flatten().long())


def binary_cross_entropy(output: Tensor, target: Tensor) -> Tensor:
    """Return the mean of ``-target log p - (1 - target) log(1 - p)`` with ``p = sigmoid(output)``.

    Args:
        output: Log-odds, of any shape.
        target: Probabilities, from 0 to 1, of the same shape.

    Returns:
        A scalar tensor.

    Raises:
        MetaoptError: The shapes differ, or a tensor is not real.
    """
    _check_probabilities("binary_cross_entropy", output, target)
    return F.binary_cross_entropy_with_logits(output, target.to(output))


def dice(output: Tensor, target: Tensor) -> Tensor:
    """Return one minus the Dice overlap, ``1 - 2 sum p target / sum (p + target)`` with ``p = sigmoid(output)``.

    Where few targets are 1, it is not content with the answer 0 for all, as :func:`binary_cross_entropy` nearly is.
    Without any target and any p it is 0.

    Args:
        output: Log-odds, of any shape.
        target: Probabilities, from 0 to 1, of the same shape.

    Returns:
        A scalar tensor.

    Raises:
        MetaoptError: The shapes differ, or a tensor is not real.

    Source:
        Milletari et al., V-Net, 2016, arXiv:1606.04797 (there with squares below).
    """
    _check_probabilities("dice", output, target)
    p, target = output.sigmoid(), target.to(output)
    total = (p + target).sum()
    return 1 - torch.where(total > 0, 2 * (p * target).sum() / torch.where(total > 0, total, 1), 1)


def branch_overlap(output: Tensor, target: Tensor) -> Tensor:
    """Return cross entropy plus one minus the Dice overlap, both of voxels that count by the length of their branch.

    With ``p = sigmoid(output)`` and the target t, it is ``sum w h / sum w + 1 - 2 sum w p t / sum w (p + t)``, where h
    is the cross entropy of a voxel. A voxel outside has w = 1. One inside has w = 0.2 / a, with the share a of t in the
    7 x 7 x 7 voxels around it: this is proportional to the cross-section of its branch, so that a millimetre of a
    branch of two voxels counts about as much as one of the trachea.

    Args:
        output: Log-odds, (B, 1, D, H, W).
        target: 1 in tubes and 0 outside, of the same shape.

    Returns:
        A scalar tensor.

    Raises:
        MetaoptError: The shapes differ or are not those of volumes, or a tensor is not real.
    """
    _check_probabilities("branch_overlap", output, target)
    if output.ndim != 5 or not output.numel():
        raise MetaoptError(f"branch_overlap compares volumes (B, 1, D, H, W), but the output is {_said(output)}.")
    output, t = output.float(), target.float()
    share = t
    for axis in range(3):  # 21 sums instead of 343
        window = [min(WIDTH, t.shape[2 + a] - 1 + t.shape[2 + a] % 2) if axis == a else 1 for a in range(3)]
        share = F.avg_pool3d(share, window, 1, [n // 2 for n in window], count_include_pad=False)
    w = torch.where(t > 0, FULL / share.clamp(min=1 / WIDTH**3), 1.0)
    entropy = F.binary_cross_entropy_with_logits(output, t, w, reduction="sum") / w.sum()
    p = output.sigmoid()
    total = (w * (p + t)).sum()
    return entropy + 1 - 2 * (w * p * t).sum() / total


def marginal_error(output: Any, target: Tensor) -> Tensor:
    """Return the mean total variation distance, ``sum_states |belief - marginal| / 2``, over variables and samples.

    Args:
        output: An output with ``log_marginals`` (B, N), which holds the states of all variables side by side.
        target: Marginals (B, n) of the first n of these states.

    Returns:
        A scalar tensor.

    Raises:
        MetaoptError: The output has no ``log_marginals``, or the shape of the target does not fit them.
    """
    beliefs = _log_beliefs("marginal_error", output, target).exp()
    return (beliefs - target).abs().sum() / (2 * target.sum())


def marginal_cross_entropy(output: Any, target: Tensor) -> Tensor:
    """Return the mean of ``-sum_states target log belief`` over variables and samples; log beliefs are cut off at -20.

    Args:
        output: An output with ``log_marginals`` (B, N), which holds the states of all variables side by side.
        target: Marginals (B, n) of the first n of these states.

    Returns:
        A scalar tensor.

    Raises:
        MetaoptError: The output has no ``log_marginals``, or the shape of the target does not fit them.
    """
    beliefs = _log_beliefs("marginal_cross_entropy", output, target).clamp_min(-20)
    return -(target * beliefs).sum() / target.sum()


def _check_probabilities(name: str, output: Any, target: Any) -> None:
    _check_alike(name, output, target)
    if output.is_complex():
        raise MetaoptError(f"{name} compares real log-odds with probabilities, but the output is {_said(output)}.")
    known = target.device.type == "cpu" and not autodiff.inside_transform()  # elsewhere the loss would wait
    if known and not bool(((target >= 0) & (target <= 1)).all()):
        raise MetaoptError(
            f"The target of {name} holds probabilities from 0 to 1, but goes from {float(target.min()):g} to "
            f"{float(target.max()):g}."
        )


def _squares(output: Tensor, target: Tensor) -> Tensor:
    difference = output - target
    return (difference.abs() if difference.is_complex() else difference).square()


def _log_beliefs(name: str, output: Any, target: Any) -> Tensor:
    """Return the log beliefs of the states that the target covers."""
    beliefs = getattr(output, "log_marginals", None)
    if beliefs is None:
        raise MetaoptError(
            f"{name} compares marginals, but {type(output).__name__} has no log_marginals; beliefs have, which are the "
            "outputs of inference in a FactorGraph."
        )
    _check_tensors(name, beliefs, target)
    axes = target.ndim == beliefs.ndim == 2 and len(target) == len(beliefs) and target.shape[1] <= beliefs.shape[1]
    if not axes or not (beliefs.is_floating_point() and target.is_floating_point()):
        raise MetaoptError(
            f"{name} compares log_marginals (B, N) with marginals (B, n) of the first n states, but they are "
            f"{_said(beliefs)} and {_said(target)}."
        )
    return beliefs[:, : target.shape[1]]


def _check_tensors(name: str, output: Any, target: Any) -> None:
    check_tensor(f"{name} compares two tensors: the output", output, "any")
    check_tensor(f"{name} compares two tensors: the target", target, "any")
    if not output.numel() or not target.numel():
        raise MetaoptError(f"{name} is an average, but the output is {_said(output)}, the target {_said(target)}.")


def _check_alike(name: str, output: Any, target: Any) -> None:
    """Raise where shapes differ, even if one would broadcast, or one tensor is real and the other complex."""
    _check_tensors(name, output, target)
    if output.shape != target.shape:
        raise MetaoptError(
            f"{name} compares an output and a target of equal shape, but the output is {_said(output)} and the target "
            f"{_said(target)}; reshape one of them."
        )
    real = output.is_floating_point() and target.is_floating_point()
    if not real and not (output.is_complex() and target.is_complex()):
        raise MetaoptError(
            f"{name} compares two real tensors of floating point or two complex ones, but the output is "
            f"{_said(output)} and the target {_said(target)}; convert one of them."
        )


def _said(value: Any) -> str:
    return tree.describe(value) if isinstance(value, Tensor) else type(value).__name__
