"""The page on use elsewhere: what it shows runs."""

from __future__ import annotations

import importlib.util
import textwrap
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "elsewhere.rst"
MISSING = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]


def blocks(text: str) -> list[str]:
    """The Python code of a page, block by block."""
    found: list[str] = []
    for part in text.split(".. code-block:: python\n")[1:]:
        lines = part.splitlines()
        end = next((i for i, line in enumerate(lines) if line and not line.startswith("   ")), len(lines))
        found.append(textwrap.dedent("\n".join(lines[:end])))
    return found


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}; pip install -e .[export]")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_every_block_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scope: dict[str, Any] = {}
    code = blocks(PAGE.read_text())
    assert len(code) == 3
    for block in code:
        exec(compile(block, str(PAGE), "exec"), scope)
    assert (tmp_path / "denoise.onnx").stat().st_size > 0
    assert scope["estimate"].shape == (1, 1, 16, 16)
