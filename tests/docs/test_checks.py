"""The page on what is checked: the refusals that it shows are those that are given."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

from .test_elsewhere import blocks

PAGE = Path(__file__).parents[2] / "docs" / "checks.rst"


def test_what_the_page_says_is_said() -> None:
    (code,) = blocks(PAGE.read_text())
    shown = [line.removeprefix("# ") for line in code.splitlines() if line.startswith("# ")]
    scope: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, str(PAGE), "exec"), scope)
    assert printed.getvalue().splitlines() == shown
    assert len(shown) == 5
