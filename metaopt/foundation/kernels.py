"""Compute what torch's fused kernels compute by operations that can be differentiated twice.

Fused attention and bags of embeddings have no second derivative. Modules of attention take a faster way that has no
derivative at all where ``vmap`` hides from them that a graph is recorded. The second derivatives of batch, layer and
instance normalisation are wrong under ``vmap`` where the scale is learned: the rules for their backward passes take the
statistics for constants (torch 2.13).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

_torch: Any = torch  # of which type checkers do not know all
_functorch = _torch._C._functorch
_data = _torch.Tensor.data.__get__
_own = _torch.Tensor.requires_grad.__get__  # what a tensor says, which vmap wrapped it or not


class Composed(TorchFunctionMode):
    """In this context fused functions are computed from simple ones, in the current thread alone.

    Args:
        only: The functions that are; by default all that have a rule.
    """

    def __init__(self, *only: Any):
        super().__init__()
        self._rules = {function: RULES[function] for function in only} or RULES

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        rule: Any = self._rules.get(func, func)
        return rule(*args, **(kwargs or {}))


def differentiable_twice(wanted: bool) -> contextlib.AbstractContextManager[Any]:
    """Return a context like :class:`Composed`, or one that does nothing if it is not ``wanted`` or torch compiles."""
    return Composed() if wanted and not torch.compiler.is_compiling() else contextlib.nullcontext()


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    math, chosen = torch.ops.aten._scaled_dot_product_attention_math, {"scale": scale, "enable_gqa": enable_gqa}
    return math(query, key, value, attn_mask, dropout_p, is_causal, **chosen)[0]


def _heads(*args: Any, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
    output, weights = F.multi_head_attention_forward(*args, **{**kwargs, "need_weights": True})  # which is not fused
    return output, weights if kwargs.get("need_weights", True) else None


def _affine(normalised: Tensor, weight: Tensor | None, bias: Tensor | None, axis: int) -> Tensor:
    for tensor, combine in ((weight, torch.mul), (bias, torch.add)):
        if tensor is not None:
            shape = (-1, *(1,) * (normalised.ndim - 1 - axis)) if axis else tensor.shape
            normalised = combine(normalised, tensor.reshape(shape))
    return normalised


def _layer_norm(
    input: Tensor, normalized_shape: Any, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    return _affine(F.layer_norm(input, normalized_shape, None, None, eps), weight, bias, 0)


def _normalised(normalise: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Batch or instance normalisation, with the scale apart."""

    def rule(
        input: Tensor,
        running_mean: Tensor | None = None,
        running_var: Tensor | None = None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        *rest: Any,
        **keywords: Any,
    ) -> Tensor:
        return _affine(normalise(input, running_mean, running_var, None, None, *rest, **keywords), weight, bias, 1)

    return rule


def _embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Bags of rows of ``weight``: those of ``input`` (B, n), or of (N) that begin at ``offsets``."""
    flat = input.reshape(-1)
    if offsets is None:
        count, bags = len(input), torch.arange(len(input), device=flat.device).repeat_interleave(input.shape[1])
    else:
        count = len(offsets) - include_last_offset
        places = torch.arange(len(flat), device=flat.device, dtype=offsets.dtype)
        bags = torch.searchsorted(offsets[:count].contiguous(), places, right=True) - 1
    rows = F.embedding(flat, weight, None, max_norm, norm_type, scale_grad_by_freq)
    counts = flat != (len(weight) if padding_idx is None else padding_idx % len(weight))
    if mode == "max":
        inside = [rows[(bags == bag) & counts] for bag in range(count)]
        return torch.stack([r.max(0).values if len(r) else weight.new_zeros(weight.shape[1]) for r in inside])
    shares = counts.to(rows) if per_sample_weights is None else counts * per_sample_weights.reshape(-1)
    summed = rows.new_zeros(count, weight.shape[1]).index_add(0, bags, rows * shares[:, None])
    if mode == "sum":
        return summed
    return summed / rows.new_zeros(count).index_add(0, bags, counts.to(rows)).clamp_min(1)[:, None]


def _requires_grad(tensor: Tensor) -> bool:
    """Whether a graph is recorded, also by what a transform wraps."""
    while _functorch.is_functorch_wrapped_tensor(tensor) and not _own(tensor):
        tensor = _functorch.get_unwrapped(tensor)
    return _own(tensor)


def _hooked(tensor: Tensor, hook: Any) -> Any:
    if _functorch.is_functorch_wrapped_tensor(tensor):
        raise RuntimeError("A hook on a tensor inside a transform sees only what this transform differentiates.")
    return tensor.register_hook(hook)


RULES: dict[Any, Callable[..., Any]] = {
    F.scaled_dot_product_attention: _attention,
    F.multi_head_attention_forward: _heads,
    F.embedding_bag: _embedding_bag,
    F.layer_norm: _layer_norm,
    F.batch_norm: _normalised(F.batch_norm),
    F.instance_norm: _normalised(F.instance_norm),
    _own: _requires_grad,
    torch.Tensor.register_hook: _hooked,
    _data: Tensor.detach,  # torch.func's .data cuts the innermost derivative alone
}
