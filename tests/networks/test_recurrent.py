"""Recurrent cells: torch's numbers, under vmap as well."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from metaopt.networks.recurrent import GruCell, LstmCell

from ..helpers import normal, seeded


@pytest.mark.parametrize(("ours", "theirs"), [(LstmCell, nn.LSTMCell), (GruCell, nn.GRUCell)])
def test_a_cell_is_torchs_and_can_be_mapped(ours: Any, theirs: Any) -> None:
    cell, reference = seeded(lambda: ours(3, 4)), seeded(lambda: theirs(3, 4))
    rows, state = normal(0, 5, 3), normal(1, 5, 4)
    if ours is LstmCell:
        state = (state, normal(2, 5, 4))
    torch.testing.assert_close(cell(rows, state), reference(rows, state))
    one = torch.func.vmap(lambda r, s: cell(r[None], torch.utils._pytree.tree_map(lambda t: t[None], s)))(rows, state)
    torch.testing.assert_close(torch.utils._pytree.tree_map(lambda t: t[:, 0], one), cell(rows, state))
