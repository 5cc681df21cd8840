"""The page of rooms says of the package what its code says."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

from .. import architecture

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def rooms() -> ModuleType:
    spec = importlib.util.spec_from_file_location("rooms", ROOT / "docs" / "rooms.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def package(tmp_path: Path) -> Path:
    files = {
        "core/__init__.py": '"""The base. Knows nothing."""',
        "core/tree.py": "import torch",
        "files.py": '"""Files on\ndisk.\n\nMore."""',
        "models/__init__.py": '"""Models."""\nfrom .deep.net import Net',
        "models/deep/__init__.py": "",
        "models/deep/net.py": "from ...core.tree import map\nfrom ..deep import other",
        "cli.py": '"""Commands."""\ndef main():\n    from . import models\n    import pack.core.x\nfrom . import files',
        "__init__.py": "from . import cli",
    }
    for name, text in files.items():
        (tmp_path / "pack" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pack" / name).write_text(text)
    return tmp_path / "pack"


def test_rooms_are_folders_and_files_with_their_first_sentences(rooms: ModuleType, package: Path) -> None:
    expected = {"core": "The base.", "files": "Files on disk.", "models": "Models.", "cli": "Commands."}
    assert rooms.sentences(package) == expected


def test_arrows_are_imports_also_inside_functions_and_folders(rooms: ModuleType, package: Path) -> None:
    arrows = rooms.imports(package)
    assert arrows == {"core": set(), "files": set(), "models": {"core"}, "cli": {"core", "files", "models"}}
    assert rooms.levels(arrows) == {"core": 0, "files": 0, "models": 1, "cli": 2}
    assert rooms.needed(arrows)["cli"] == {"files", "models"}


def test_of_the_package_every_room_says_what_lives_there_and_imports_what_it_may(rooms: ModuleType) -> None:
    for room, sentence in rooms.sentences(rooms.PACKAGE).items():
        assert len(sentence) > 10, room
    for room, targets in rooms.imports(rooms.PACKAGE).items():
        assert targets <= architecture.MAY_IMPORT[room], room


def test_every_room_is_drawn_once_apart_from_others_and_above_what_it_imports(
    rooms: ModuleType, tmp_path: Path
) -> None:
    rooms.write(tmp_path)
    drawing = ElementTree.parse(tmp_path / "rooms.svg").getroot()
    space = "{http://www.w3.org/2000/svg}"
    names = [text.text for text in drawing.iter(f"{space}text")]
    boxes = [box.attrib for box in drawing.iter(f"{space}rect") if "x" in box.attrib]
    assert sorted(names) == sorted(rooms.sentences(rooms.PACKAGE))
    corners = [tuple(float(box[key]) for key in ("x", "y", "width", "height")) for box in boxes]
    size = (float(drawing.attrib["width"]), float(drawing.attrib["height"]))
    for i, (x, y, w, h) in enumerate(corners):
        assert 0 <= x <= x + w <= size[0]
        assert 0 <= y <= y + h <= size[1]
        for x2, y2, w2, h2 in corners[:i]:
            assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y
    top = {name: y for name, (_, y, _, _) in zip(names, corners, strict=True)}
    for room, targets in rooms.imports(rooms.PACKAGE).items():
        assert all(top[target] > top[room] for target in targets)
    with (tmp_path / "rooms.csv").open(newline="") as file:
        assert sorted(row["room"].strip("`") for row in csv.DictReader(file)) == sorted(names)
