"""Numbers that are written as text keep their value, or are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaopt.core import MetaoptError
from metaopt.foundation.literals import literal, parse_json


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_what_python_writes_of_a_float_is_read_as_the_same(value: float) -> None:
    assert literal(repr(value)) == value


@pytest.mark.parametrize("word", ["0", "-0.0", "0e-999", "0.000", "00.0E5"])
def test_zero_is_zero_however_it_is_written(word: str) -> None:
    assert literal(word) == 0


@pytest.mark.parametrize("word", ["1e-400", "-1e400", "0." + "0" * 400 + "1", "9" * 400 + ".0", "3e-324"])
def test_json_with_a_number_beyond_float64_is_refused(word: str) -> None:
    with pytest.raises(MetaoptError, match="beyond float64"):
        parse_json(f'{{"a": [{word}]}}')


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_json_with_what_json_lacks_is_refused(word: str) -> None:
    with pytest.raises(MetaoptError, match="no number of JSON"):
        parse_json(f'{{"a": {word}}}')
