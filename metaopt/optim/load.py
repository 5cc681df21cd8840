"""Load trained optimizers by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from ..arguments.contracts import checked
from ..core import MetaoptError
from ..models import load as load_model
from ..weights import read_card, shipped

CALL = "metaopt.models.learned_optimizer"


def trained() -> list[str]:
    """Return the names of the trained optimizers that come with the package."""
    return [name for name in shipped() if read_card(name)["call"]["call"] == CALL]


@checked
def load(name: str | Path) -> nn.Module:
    """Load a trained update for :func:`as_torch`.

    Args:
        name: One of :func:`trained`, or the path of a ``.safetensors`` file that has its card beside it.

    Returns:
        The update, in evaluation mode.

    Raises:
        MetaoptError: The name is unknown, the weights are not those of an optimizer, or
            :func:`metaopt.models.load` refuses them.

    Example:
        >>> optimizer = as_torch(load("optimizer_digits"), model.parameters())
    """
    if Path(name).suffix != ".safetensors" and name not in trained():
        raise MetaoptError(
            f"There is no trained optimizer {str(name)!r}; there are {', '.join(trained()) or 'none'}. For one of your "
            "own give the path of its .safetensors file."
        )
    made_by = read_card(name)["call"]["call"]
    if made_by != CALL:
        raise MetaoptError(f"The weights {name} are those of {made_by}, not of an optimizer.")
    algorithm: Any = load_model(name).algorithm
    return algorithm.update.content()
