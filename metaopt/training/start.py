"""Start a training from the weights of an earlier one."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..core import MetaoptError, Unrolled
from ..weights import read_weights

EMBED, IMAGES = "embed", ("head", "step_size")  # the convolutions of ConvGru that see the channels of x


def start_from(net: Unrolled, name: str) -> None:
    """Copy trained weights into ``net``; parts that they do not have keep their initial values.

    The weights of a bare update also fit one that is wrapped, as by ``ComplexAsBatch``, and those of
    an algorithm fit one inside ``DataConsistency``. The weights of a ``ConvGru``
    for a single channel also fit one for several channels, which then sees the mean of the channels (whose noise is
    smaller by the square root of their number) and changes them all alike.

    Args:
        net: The network, changed in place.
        name: A shipped name, or the path of a ``.safetensors`` file.

    Raises:
        MetaoptError: The weights have a tensor that does not fit the network.
    """
    tensors, own = read_weights(name), net.state_dict()
    inside = {n.replace(".module.update.", ".module."): n for n in own}
    inside |= {
        n.replace("algorithm.algorithm.", "algorithm."): name
        for n, name in [*inside.items(), *zip(own, own, strict=True)]
    }
    tensors = {n if n in own else inside.get(n, n): t for n, t in tensors.items()}
    tensors = _for_channels(tensors, own)
    foreign = [n for n, t in tensors.items() if n not in own or own[n].shape != t.shape]
    if foreign:
        raise MetaoptError(
            f"The weights {name} have {foreign[0]} {tuple(tensors[foreign[0]].shape)}, this model has not."
        )
    net.load_state_dict({**own, **tensors})


def _for_channels(tensors: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """Convert weights of a ConvGru for one channel to the number of channels of ``own``; others stay as they are."""
    bias = next((n for n in tensors if n.endswith(f"{IMAGES[0]}.bias")), "")
    channels = len(own.get(bias, ()))
    if bias not in tensors or len(tensors[bias]) != 1 or channels < 2:
        return tensors
    new = dict(tensors)
    for name, tensor in tensors.items():
        layer, kind = name.split(".")[-2:]
        if layer in IMAGES:  # transposed convolutions have the channels of the image second
            repeats = [channels if a != b else 1 for a, b in zip(own[name].shape, tensor.shape, strict=True)]
            new[name] = tensor.repeat(repeats)
        elif layer == EMBED and kind == "weight":  # it reads x, the gradient and, if there is one, the log noise
            x, gradient, level = tensor.split([1, 1, tensor.shape[1] - 2], dim=1)
            new[name] = torch.cat([*[x / channels] * channels, *[gradient / channels] * channels, level], dim=1)
            told = level[:, :1].sum((1, *range(2, level.ndim)))
            new[name.removesuffix("weight") + "bias"] = (
                tensors[name.removesuffix("weight") + "bias"] - math.log(channels) / 2 * told
            )
    return new
