"""Read numbers that are written as text, and refuse those that a float64 would make 0 or infinite in silence."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

from .errors import MetaoptError

NORMAL = 2.0**-1022  # smaller numbers are held with fewer digits
ROUGH = 0.02  # of a number; 5e-324, the least float64 as Python writes it, stands for 4.94e-324


def is_lost(word: str, value: float) -> bool:
    """Return whether ``value``, the float64 of a number that is written as ``word``, has little to do with it.

    Args:
        word: The number in digits.
        value: What ``float`` made of it.
    """
    if NORMAL <= abs(value) < math.inf or value != value:
        return False
    if math.isinf(value):
        return "n" not in word.lower()  # inf and infinity are meant
    if value == 0:
        return any(digit in "123456789" for digit in word.lower().partition("e")[0])
    from decimal import Decimal  # whose import takes longer than that of most of this package

    exact = Decimal(word)
    return abs(Decimal(value) - exact) > Decimal(ROUGH) * abs(exact)


def first_lost(words: Iterable[str | bytes], values: Iterable[float]) -> int | None:
    """Return the index of the first number that is lost, or None.

    Args:
        words: The numbers in digits.
        values: What ``float`` made of them.
    """
    pairs = enumerate(zip(words, values, strict=True))
    return next((i for i, (w, v) in pairs if is_lost(w.decode() if isinstance(w, bytes) else w, v)), None)


def refusal(word: str) -> str:
    """Return the sentence about a number that is lost, without its subject.

    Args:
        word: The number in digits.
    """
    return f"the number {word:.40} is beyond float64, which holds 4.9e-324 to 1.8e308; scale it"


def literal(word: str) -> float:
    """Return the number that a text states.

    Args:
        word: The number in digits.

    Raises:
        MetaoptError: It would become 0 or infinite.
        ValueError: It is no number.
    """
    value = float(word)
    if is_lost(word, value):
        raise MetaoptError(f"{refusal(word)}.")
    return value


def parse_json(text: str | bytes, finite: bool = True) -> Any:
    """Return what a JSON text holds, of which no number is lost.

    Args:
        text: The text.
        finite: Whether NaN and Infinity, which JSON lacks but Python writes, are refused.

    Raises:
        ValueError: It is no JSON, or holds a number that is lost or refused.
    """
    return json.loads(text, parse_float=literal, parse_constant=_refuse_constant if finite else float)


def _refuse_constant(name: str) -> Any:
    raise MetaoptError(f"it holds {name}, which is no number of JSON.")
