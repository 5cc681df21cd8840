"""The rules of the optimizers of ``torch.optim``, as differentiable functions of parameter, gradient and options.

A rule takes the parameter p, its gradient g, what is remembered by torch's names, the options of the parameter group by
torch's names, and k, the number of steps with this one; it returns the new p and what is to be remembered. Options may
be tensors that require a gradient. Each rule computes what torch does, to rounding; square roots have the derivative 0
at 0 instead of infinity.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from .moments import as_complex, as_real, root

State = dict[str, Any]
Options = Mapping[str, Any]
Rule = Callable[[Tensor, Tensor, State, Options, int], tuple[Tensor, State]]


def apply_rule(rule: Rule, p: Tensor, g: Tensor, state: State, options: Options, k: int) -> tuple[Tensor, State]:
    """Return the parameter and what is remembered after step k, complex numbers as pairs and dtypes as they were.

    Args:
        rule: One of :data:`RULES`.
        p: The parameter.
        g: Its gradient.
        state: What is remembered of it, by torch's names; an empty dict before its first step.
        options: The options of its group, by torch's names.
        k: The number of its steps, this one included.
    """
    g = -g if options.get("maximize") else g
    seen = {name: as_real(value) if isinstance(value, Tensor) else value for name, value in state.items()}
    new, kept = rule(as_real(p), as_real(g), seen, options, k)
    kept = {name: as_complex(v.to(new.dtype), p) if _like(v, new) else v for name, v in kept.items()}
    return as_complex(new.to(as_real(p).dtype), p), kept


def _like(value: Any, p: Tensor) -> bool:
    return isinstance(value, Tensor) and value.shape == p.shape


def _kept(state: State, name: str, p: Tensor) -> Tensor:
    value = state.get(name)
    return torch.zeros_like(p, requires_grad=False) if value is None else value


def _used(option: Any) -> bool:
    """Whether an option has an effect; a tensor always may have, since it has a derivative."""
    return isinstance(option, Tensor) or bool(option)


def _decayed(p: Tensor, g: Tensor, options: Options) -> tuple[Tensor, Tensor]:
    """p and g after weight decay, decoupled from the gradient or not."""
    decay = options.get("weight_decay", 0)
    if not _used(decay):
        return p, g
    if options.get("decoupled_weight_decay"):
        return p * (1 - options["lr"] * decay), g
    return p, g + decay * p


def _mean(old: Tensor, new: Tensor, decay: Any) -> Tensor:
    return old + (1 - decay) * (new - old)


def _square(old: Tensor, new: Tensor, decay: Any) -> Tensor:
    """The running mean of the square; not by the difference, which makes NaN of a square that overflows."""
    return decay * old + (1 - decay) * new * new


def _sgd(p: Tensor, g: Tensor, state: State, options: Options, k: int) -> tuple[Tensor, State]:
    p, g = _decayed(p, g, options)
    if not _used(momentum := options["momentum"]):
        return p - options["lr"] * g, {}
    before = state.get("momentum_buffer")
    velocity = g if before is None else momentum * before + (1 - options["dampening"]) * g
    direction = g + momentum * velocity if options["nesterov"] else velocity
    return p - options["lr"] * direction, {"momentum_buffer": velocity}


def _adam(p: Tensor, g: Tensor, state: State, options: Options, k: int) -> tuple[Tensor, State]:
    (beta1, beta2), lr = options["betas"], options["lr"]
    p, g = _decayed(p, g, options)
    first = _mean(_kept(state, "exp_avg", p), g, beta1)
    second = _square(_kept(state, "exp_avg_sq", p), g, beta2)
    kept = {"exp_avg": first, "exp_avg_sq": second}
    if options["amsgrad"]:
        second = kept["max_exp_avg_sq"] = torch.maximum(_kept(state, "max_exp_avg_sq", p), second)
    size = root(second) / (1 - beta2**k) ** 0.5 + options["eps"]
    return p - lr / (1 - beta1**k) * first / size, kept


def _nadam(p: Tensor, g: Tensor, state: State, options: Options, k: int) -> tuple[Tensor, State]:
    (beta1, beta2), lr = options["betas"], options["lr"]
    p, g = _decayed(p, g, options)
    now, after = (beta1 * (1 - 0.5 * 0.96 ** (i * options["momentum_decay"])) for i in (k, k + 1))
    product = state.get("mu_product", 1.0) * now
    first = _mean(_kept(state, "exp_avg", p), g, beta1)
    second = _square(_kept(state, "exp_avg_sq", p), g, beta2)
    size = root(second / (1 - beta2**k)) + options["eps"]
    p = p - lr * (1 - now) / (1 - product) * g / size - lr * after / (1 - product * after) * first / size
    return p, {"exp_avg": first, "exp_avg_sq": second, "mu_product": product}


def _radam(p: Tensor, g: Tensor, state: State, options: Options, k: int) -> tuple[Tensor, State]:
    (beta1, beta2), lr = options["betas"], options["lr"]
    p, g = _decayed(p, g, options)
    first = _mean(_kept(state, "exp_avg", p), g, beta1)
    second = _square(_kept(state, "exp_avg_sq", p), g, beta2)
    longest = 2 / (1 - beta2) - 1
    length = longest - 2 * k * beta2**k / (1 - beta2**k)
    change = first / (1 - beta1**k)
    size = root(second) + options["eps"]
    if isinstance(length, Tensor):  # both branches, with a harmless length where the root has none
        far, near = (torch.where(length > 5, value, 6.0) for value in (longest, length))
        scaled = change * _rectified(near, far) * (1 - beta2**k) ** 0.5 / size
        change = torch.where(length > 5, scaled, change)
    elif length > 5:
        change = change * _rectified(length, longest) * (1 - beta2**k) ** 0.5 / size
    return p - lr * change, {"exp_avg": first, "exp_avg_sq": second}


def _rectified(length: Any, longest: Any) -> Any:
    return ((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)) ** 0.5


def _adamax(p: Tensor, g: Tensor, state: State, options: Options, k: int) -> tuple[Tensor, State]:
    beta1, beta2 = options["betas"]
    p, g = _decayed(p, g, options)
    first = _mean(_kept(state, "exp_avg", p), g, beta1)
    largest = torch.maximum(beta2 * _kept(state, "exp_inf", p), g.abs() + options["eps"])
    return p - options["lr"] / (1 - beta1**k) * first / largest, {"exp_avg": first, "exp_inf": largest}


def _adagrad(p: Tensor, g: Tensor, state: State, options: Options, k: int) -> tuple[Tensor, State]:
    p, g = _decayed(p, g, options)
    before = state.get("sum")
    before = torch.zeros_like(p) + options["initial_accumulator_value"] if before is None else before
    total = before + g * g
    rate = options["lr"] / (1 + (k - 1) * options["lr_decay"])
    return p - rate * g / (root(total) + options["eps"]), {"sum": total}


def _adadelta(p: Tensor, g: Tensor, state: State, options: Options, k: int) -> tuple[Tensor, State]:
    rho, eps = options["rho"], options["eps"]
    p, g = _decayed(p, g, options)
    square, before = _square(_kept(state, "square_avg", p), g, rho), _kept(state, "acc_delta", p)
    delta = root(before + eps) / root(square + eps) * g
    return p - options["lr"] * delta, {"square_avg": square, "acc_delta": _square(before, delta, rho)}


def _rmsprop(p: Tensor, g: Tensor, state: State, options: Options, k: int) -> tuple[Tensor, State]:
    alpha, momentum = options["alpha"], options["momentum"]
    p, g = _decayed(p, g, options)
    square = _square(_kept(state, "square_avg", p), g, alpha)
    kept = {"square_avg": square}
    if options["centered"]:
        kept["grad_avg"] = mean = _mean(_kept(state, "grad_avg", p), g, alpha)
        # After a gradient whose square overflows both are infinite, and torch's difference is infinite as well.
        square = square - (mean * mean).clamp(max=torch.finfo(mean.dtype).max)
    change = g / (root(square) + options["eps"])
    if _used(momentum):
        change = kept["momentum_buffer"] = momentum * _kept(state, "momentum_buffer", p) + change
    return p - options["lr"] * change, kept


def _asgd(p: Tensor, g: Tensor, state: State, options: Options, k: int) -> tuple[Tensor, State]:
    lr, shrinkage = options["lr"], options["lambd"]
    p, g = _decayed(p, g, options)
    eta, share = state.get("eta", lr), state.get("mu", 1.0)
    p = p * (1 - shrinkage * eta) - eta * g
    mean = _mean(_kept(state, "ax", p), p, 1 - share)
    eta = lr / (1 + shrinkage * lr * k) ** options["alpha"]
    late = k - options["t0"]
    return p, {"ax": mean, "eta": eta, "mu": 1 / (late.clamp(min=1.0) if isinstance(late, Tensor) else max(1.0, late))}


def _rprop(p: Tensor, g: Tensor, state: State, options: Options, k: int) -> tuple[Tensor, State]:
    (low, high), (shrink, grow) = options["step_sizes"], options["etas"]
    size = state.get("step_size")
    size = torch.zeros_like(p) + options["lr"] if size is None else size
    agreement = g * _kept(state, "prev", p)
    one = torch.ones_like(p)
    size = size * torch.where(agreement > 0, grow * one, torch.where(agreement < 0, shrink * one, one))
    size = torch.minimum(torch.maximum(size, low * one), high * one)
    g = torch.where(agreement < 0, 0.0, g)
    return p - g.sign() * size, {"prev": g, "step_size": size}


RULES: Mapping[type[torch.optim.Optimizer], Rule] = MappingProxyType(
    {
        torch.optim.SGD: _sgd,
        torch.optim.Adam: _adam,
        torch.optim.AdamW: _adam,
        torch.optim.NAdam: _nadam,
        torch.optim.RAdam: _radam,
        torch.optim.Adamax: _adamax,
        torch.optim.Adagrad: _adagrad,
        torch.optim.Adadelta: _adadelta,
        torch.optim.RMSprop: _rmsprop,
        torch.optim.ASGD: _asgd,
        torch.optim.Rprop: _rprop,
    }
)
