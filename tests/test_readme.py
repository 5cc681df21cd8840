"""The README's code runs, in its order, and its pictures and commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import torch

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text()


def test_every_python_block_runs_in_order() -> None:
    blocks = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    assert len(blocks) >= 3
    torch.manual_seed(0)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert float(names["loss"].detach()) < 1.0  # type: ignore[attr-defined]


def test_wrapping_a_solver_takes_at_most_twenty_lines() -> None:
    block = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)[0]
    assert len([line for line in block.splitlines() if line.strip()]) <= 20


def test_pictures_and_make_targets_exist() -> None:
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", TEXT, flags=re.DOTALL):
        assert (ROOT / picture).is_file(), picture
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"make (demo|test|docs)", TEXT):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)
