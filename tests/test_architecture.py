"""The package keeps to its design, and each check of ``architecture.py`` finds what it is there to find."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from importlib import metadata
from pathlib import Path, PurePath

import pytest
from packaging.requirements import Requirement

from . import architecture, docstrings
from .architecture import Source

ROOT = Path(__file__).parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"
SOURCES = [Source(str(p.relative_to(ROOT)), p.read_text()) for p in sorted((ROOT / "metaopt").rglob("*.py"))]

IMPORTED_MODULES = 171
DATA_SUFFIXES = set(
    ".nii .gz .h5 .hdf5 .nrrd .mha .dcm .fits .uvfits .uai .alist .swc .mat .npz .npy .pt .pth .ckpt .pkl .pickle .zip "
    ".tar .tgz .parquet .csv .tif .tiff .bmp .idx".split()
)


def _function(lines: int, docstring: int = 0) -> str:
    doc = ['    """A', *["    text"] * (docstring - 2), '    """'] if docstring else []
    return "\n".join(["def f(x):", *doc, *["    x += 1"] * (lines - 1)])


def _dataclass(fields: int) -> str:
    return "@dataclass(frozen=True)\nclass Big:\n    kind: ClassVar[int]\n" + "\n".join(
        f"    field_{i}: int" for i in range(fields)
    )


def _documented(text: str) -> str:
    return f"def f(x):\n  {text!r}"


# check, place in the package, source it must let pass, source it must refuse, a word of its complaint
CASES = [
    (architecture.file_length, "core/a.py", "x = 1\n" * 350, "x = 1\n" * 351, "351"),
    (architecture.function_length, "core/a.py", _function(60, docstring=30), _function(61), "f has 61"),
    (architecture.function_length, "core/a.py", _function(60), "class A:\n " + _function(61).replace("\n", "\n "), "f"),
    (
        architecture.constructor_arguments,
        "core/a.py",
        "class A:\n    def __init__(self, a, b, c, d, e, f, g, h): ...",
        "class A:\n    def __init__(self, a, b, c, d, *, e, f, g, h, i): ...",
        "A takes 9",
    ),
    (architecture.constructor_arguments, "core/a.py", _dataclass(8), _dataclass(9), "Big takes 9"),
    (architecture.public_kwargs, "core/a.py", "def _f(**kwargs): ...", "def f(**kwargs): ...", "**kwargs"),
    (
        architecture.public_kwargs,
        "core/a.py",
        "class _A:\n    def __init__(self, **k): ...\nclass B:\n    def state_dict(self, *a, **k): ...",
        "class A:\n    def __init__(self, **options): ...",
        "**options",
    ),
    (architecture.mutable_module_state, "core/a.py", "__all__ = ['a']\nTABLE = {}\ncase = (1,)", "_seen = {}", "_seen"),
    (architecture.mutable_module_state, "core/a.py", "x = frozenset()", "x: list = list()", "'x' is mutable"),
    (
        architecture.mutable_module_state,
        "core/a.py",
        "A = {}\ndef f(): return A[0]",
        "A = {}\ndef f(): A[0] = 1",
        "'A'",
    ),
    (architecture.mutable_module_state, "core/a.py", "def f(a): a.pop()", "_A = []\ndef f(): _A.append(1)", "'_A'"),
    (architecture.mutable_module_state, "core/a.py", "n = 0", "n = 0\ndef f():\n    global n\n    n += 1", "global n"),
    (
        architecture.import_arrows,
        "operators/a.py",
        "from ..core import tree\nfrom .dense import Dense\nimport torch",
        "from ..problems.inverse import InverseProblem",
        "operators may not see problems",
    ),
    (architecture.import_arrows, "core/gradients/a.py", "from ..errors import E", "from ...data import b", "see data"),
    (
        architecture.import_arrows,
        "losses/a.py",
        "from ..core.tree import leaves",
        "def f():\n    import metaopt.models.rim",
        "losses may not see models",
    ),
    (architecture.import_arrows, "tasks/a.py", "from ..data import b", "from metaopt import training", "see training"),
    (architecture.import_arrows, "models/a.py", "from ..updates import b", "from metaopt import Descent", "the top"),
    (architecture.import_arrows, "cli/a.py", "from ..viewer import page", "from .. import nowhere", "nowhere"),
    (architecture.import_arrows, "cli/a.py", "from .. import __version__", "from .. import Descent", "metaopt.Descent"),
    (architecture.import_arrows, "__init__.py", "from .core import unroll", "from .cli import main", "see cli"),
    (architecture.import_arrows, "models/a.py", "", "from .. import optim", "models may not see optim"),
    (architecture.import_arrows, "core/a.py", "", "from ..new_folder import x", "new_folder"),
    (
        architecture.heavy_imports,
        "data/a.py",
        "import tqdm\nif TYPE_CHECKING:\n    import h5py\ndef f():\n    import scipy.signal",
        "try:\n    import scipy.signal\nexcept ImportError:\n    pass",
        "scipy.signal",
    ),
    (architecture.heavy_imports, "data/a.py", "import higherness", "class A:\n    from higher import b", "higher.b"),
    (architecture.heavy_imports, "cli/a.py", "import argparse", "from PIL import Image", "PIL"),
    (
        architecture.optional_imports,
        "data/a.py",
        'import yaml\nif TYPE_CHECKING:\n    import h5py\nPIL = require("PIL", "pictures")',
        "def f():\n    from PIL import Image",
        "use require",
    ),
    (
        architecture.unpickling,
        "data/a.py",
        "import nibabel\nnibabel.load(f)",
        "import torch\ntorch.load(f)",
        "torch.load",
    ),
    (architecture.unpickling, "data/a.py", "from torch import save", "from torch import load", "torch.load"),
    (architecture.unpickling, "data/a.py", "import json as t\nt.load(f)", "import torch as t\nt.load(f)", "torch.load"),
    (architecture.unpickling, "data/a.py", "import pickleball", "def f():\n    import pickle", "pickle"),
    (architecture.unpickling, "data/a.py", "", "from pickle import Unpickler", "pickle.Unpickler"),
    (architecture.random_streams, "tasks/a.py", "random.generator(seed, 1)", "torch.manual_seed(seed)", "manual_seed"),
    (architecture.random_streams, "tasks/a.py", "def f(g: torch.Generator): ...", "g = torch.Generator()", "Generator"),
    (architecture.unpickling, "data/a.py", "np.load(f)", "np.load(f, allow_pickle=True)", "allow_pickle"),
    (
        architecture.abstract_bases,
        "core/a.py",
        "class Algorithm(nn.Module, abc.ABC): ...\nclass A(Protocol):\n    @abstractmethod\n    def f(self): ...",
        "class Slot(nn.Module, abc.ABC): ...",
        "Slot is an abstract",
    ),
    (architecture.abstract_bases, "core/a.py", "", "class A:\n    @abc.abstractmethod\n    def f(self): ...", "A is"),
    (
        docstrings.docstring_sections,
        "operators/a.py",
        _documented("Return x.\n\nArgs:\n    x: a.\n\nRaises:\n    MetaoptError: x is b.\n\nSource:\n    c."),
        _documented("Return x.\n\nRaises:\n    MetaoptError: x is b.\n\nArgs:\n    x: a."),
        "f has its sections in the order Raises, Args",
    ),
    (
        docstrings.docstring_sections,
        "operators/a.py",
        _documented("Take what Raises gives:\n\n- Args: none"),
        _documented("Return x.\n\nIt is c. Raises: MetaoptError where x is b."),
        "a line of its own",
    ),
    (docstrings.docstring_sections, "operators/a.py", "def _f():\n    'x'", _documented("x"), "as a sentence does"),
    (docstrings.docstring_sections, "operators/a.py", '"""A."""', '"""A\n\nB."""', "of the module begins with 'A'"),
    (docstrings.docstring_sections, "operators/a.py", "x = 1", _documented("It is\nb."), "does not end"),
    (docstrings.docstring_sections, "operators/a.py", "", _documented("A.\nB."), "more than one line"),
    (docstrings.docstring_sections, "operators/a.py", "", _documented("A.\n\nReference:\n    c."), "called 'Source'"),
    (docstrings.docstring_sections, "operators/a.py", "", "class A:\n " + _documented("b"), "of f begins"),
]
WHOLE_CASES = [
    (
        architecture.concrete_bases,
        "class Sgd(nn.Module): ...\nclass B(Algorithm): ...\nclass AError(Exception): ...\nclass BError(AError): ...",
        "class Ista(Algorithm): ...\nclass Fista(Ista): ...",
        "Fista inherits from Ista",
    ),
    (
        architecture.concrete_bases,
        "class Identity(Operator): ...\nclass B(nn.Identity): ...\nclass P(Protocol): ...\nclass Q(P): ...",
        "class Base: ...\nclass B(metaopt.core.Base[int]): ...",
        "B inherits from Base",
    ),
    (architecture.core_size, '"""a\nb"""\n' + "x = 1  # one\n\n" * 1000, "f(\n1,\n)\n" * 333 + "g\nh", "1001 lines"),
    (architecture.type_ignores, "x = 1  # type: ignore[misc]\n" * 10, "x = 1  # type: ignore\n" * 11, "11 times"),
    (architecture.type_ignores, "x = '# type: ignore'\n" * 11, "x = 1  # pyright: ignore\n" * 11, "11 times"),
    (architecture.type_ignores, "# a type\nx = 1", "# pyright: basic\nx = 1", "a.py:1 silences"),
    (architecture.type_ignores, "", "# type: ignore\nx = 1", "whole file"),
]


def _checks(cases: list) -> list:
    return list(dict.fromkeys(case[0] for case in cases))


def _name(value: object) -> str:
    return getattr(value, "__name__", "")


@pytest.mark.parametrize("check", _checks(CASES), ids=_name)
def test_every_module_obeys(check):
    assert [violation for source in SOURCES for violation in check(source)] == []


@pytest.mark.parametrize("check", _checks(WHOLE_CASES), ids=_name)
def test_the_package_obeys(check):
    assert check(SOURCES) == []


@pytest.mark.parametrize(("check", "path", "good", "bad", "word"), CASES, ids=_name)
def test_check_of_a_module_passes_the_good_and_finds_the_bad(check, path, good, bad, word):
    assert check(Source(f"metaopt/{path}", good)) == []
    found = check(Source(f"metaopt/{path}", bad))
    assert len(found) == 1, found
    assert word in found[0]
    assert f"metaopt/{path}" in found[0]


@pytest.mark.parametrize(("check", "good", "bad", "word"), WHOLE_CASES, ids=_name)
def test_check_of_the_package_passes_the_good_and_finds_the_bad(check, good, bad, word):
    assert check([Source("metaopt/core/a.py", good), Source("metaopt/operators/b.py", "x = 1")]) == []
    found = check([Source("metaopt/core/a.py", bad)])
    assert len(found) == 1, found
    assert word in found[0]


def test_the_package_says_that_it_is_typed():
    """Without this file type checkers take everything imported from the package for ``Any`` (PEP 561)."""
    assert (ROOT / "metaopt" / "py.typed").is_file()


def test_the_layers_form_no_circle():
    """Nothing sees what sees it, so that every import has one direction."""
    may = architecture.MAY_IMPORT
    assert [(a, b) for a in may for b in may[a] if a in may.get(b, ())] == []
    assert {layer for seen in may.values() for layer in seen} <= set(may)


def _loaded_by(module: str, folder: Path) -> list[str]:
    """The modules that ``import module`` loads in a new process that has torch already."""
    program = (
        f"import sys, torch; before = set(sys.modules); import {module}; print(*sorted(set(sys.modules) - before))"
    )
    command = [sys.executable, "-c", program]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.split()


def test_import_loads_the_package_and_what_reads_weights_alone():
    """What an import costs is how many modules it loads; by the clock it would be how busy the machine is."""
    loaded = _loaded_by("metaopt", ROOT)
    foreign = {name.partition(".")[0] for name in loaded} - set(sys.stdlib_module_names)
    assert foreign == {"metaopt", "safetensors"}
    assert len(loaded) <= IMPORTED_MODULES
    lazy = {"compat", "data", "estimators", "optim", "tasks", "training", "viewer"}
    assert not {f"metaopt.{name}" for name in lazy} & set(loaded)


def test_what_an_import_loads_is_seen(tmp_path):
    (tmp_path / "dear.py").write_text("import yaml")
    assert {"dear", "yaml"} <= set(_loaded_by("dear", tmp_path))


def data_files(root: Path, tracked: list[str], shared: Path) -> list[str]:
    """Tracked files that are data by their suffix, or byte for byte a file of the shared data folder."""
    by_suffix = [f"{name} is data" for name in tracked if PurePath(name).suffix.lower() in DATA_SUFFIXES]
    sizes: dict[int, list[Path]] = {}
    for path in shared.rglob("*") if shared.is_dir() else ():
        if path.is_file() and path.stat().st_size:
            sizes.setdefault(path.stat().st_size, []).append(path)
    copies = [
        f"{name} is a copy of {twin}"
        for name in tracked
        if (root / name).is_file()
        for twin in sizes.get((root / name).stat().st_size, ())
        if _digest(twin) == _digest(root / name)
    ]
    return by_suffix + copies


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_no_data_is_committed():
    # A clone that belongs to somebody else, as in CI, is read all the same.
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert data_files(ROOT, [name for name in listing.split("\0") if name], SHARED_DATA) == []


def test_committed_data_is_found(tmp_path):
    for name, text in {
        "shared/a.png": "picture",
        "own/b.png": "picture",
        "own/c.png": "PICTURE",
        "own/d.h5": "",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    found = data_files(tmp_path / "own", ["b.png", "c.png", "d.h5"], tmp_path / "shared")
    assert [line.split()[0] for line in found] == ["d.h5", "b.png"]


def required_distributions(name: str, extras: set[str]) -> set[str]:
    """Every installed distribution that ``name[extras]`` asks for, directly or through another."""
    found, waiting = set(), [(name, frozenset(extras))]
    while waiting:
        item = waiting.pop()
        if item in found:
            continue
        found.add(item)
        try:
            requirements = [Requirement(text) for text in metadata.requires(item[0]) or ()]
        except metadata.PackageNotFoundError:
            continue
        for requirement in requirements:
            if not requirement.marker or any(requirement.marker.evaluate({"extra": e}) for e in item[1] | {""}):
                waiting.append((requirement.name.lower().replace("_", "-"), frozenset(requirement.extras)))
    return {distribution for distribution, _ in found}


def test_torchvision_is_not_required():
    """Beside the CPU build of torch, torchvision cannot be imported, and breaks the packages that try."""
    extras = set(metadata.metadata("metaopt-torch").get_all("Provides-Extra"))
    required = required_distributions("metaopt-torch", extras)
    assert {"torch", "pytest", "sympy"} <= required, "sympy is what torch needs: the walk reaches the second level"
    assert "torchvision" not in required
