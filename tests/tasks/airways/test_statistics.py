from __future__ import annotations

import math

import pytest

from metaopt.core import MetaoptError
from metaopt.tasks.airways import by_generation

from .test_tree import fork


def test_rows_hold_the_medians_of_all_branches_of_a_generation():
    rows = by_generation([fork(20.0, 4.0), fork(40.0, 4.0), fork(60.0, 8.0)])
    assert [(row.generation, row.branches) for row in rows] == [(0, 1.0), (1, 2.0)]
    assert math.isnan(rows[0].angle)
    assert rows[1].angle == pytest.approx(40.0, abs=1e-2)
    assert (rows[0].length, rows[0].radius, rows[1].radius) == pytest.approx((60.0, 4.0, 2.0))


def test_no_tree_has_no_generations():
    with pytest.raises(MetaoptError, match="at least one tree"):
        by_generation([])
