"""What is installed is what is in the folder of the package."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parent.parent


def unpacked(files: list[str], pyproject: str) -> list[str]:
    """Those of the files, relative to the package, that no pattern of ``package-data`` takes into the wheel."""
    entry = re.search(r"\[tool\.setuptools\.package-data\]\nmetaopt = \[(.*?)\]\n", pyproject, flags=re.DOTALL)
    patterns = re.findall(r'"([^"]+)"', entry.group(1)) if entry else []
    return [name for name in files if not any(_fits(name, pattern) for pattern in patterns)]


def _fits(name: str, pattern: str) -> bool:
    return name.count("/") == pattern.count("/") and fnmatch(name, pattern)


def test_every_file_of_the_package_goes_into_the_wheel() -> None:
    package = ROOT / "metaopt"
    paths = [path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    files = [path.relative_to(package).as_posix() for path in paths if path.suffix != ".py"]
    assert any(name.endswith(".safetensors") for name in files)
    assert unpacked(files, (ROOT / "pyproject.toml").read_text()) == []


def test_a_file_that_would_be_left_out_is_found() -> None:
    pyproject = '[tool.setuptools.package-data]\nmetaopt = [\n    "a/*.json",\n]\n\n[other]\nb = ["*.css"]\n'
    assert unpacked(["a/b.json", "a/b/c.json", "d.css"], pyproject) == ["a/b/c.json", "d.css"]


def test_every_folder_with_python_files_is_a_package() -> None:
    folders = {path.parent for path in (ROOT / "metaopt").rglob("*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").is_file()] == []
