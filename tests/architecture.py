"""The budgets and import arrows of the design, as checks that read source code and never run it.

A check takes one ``Source``, or all of them where the property is one of the whole, and returns its violations, one
sentence each. ``test_architecture.py`` applies them to the package, and to snippets that they must refuse.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

FILE_LINES = 350
FUNCTION_LINES = 60
CONSTRUCTOR_ARGUMENTS = 8
CORE_LINES = 1000
TYPE_IGNORES = 10

CHAIN = tuple(
    "core operators priors problems networks updates algorithms weights models tasks training applications cli".split()
)


def _up_to(layer: str, *beside: str) -> set[str]:
    return {*CHAIN[: CHAIN.index(layer) + 1], *beside}


# What each folder or file of the package may import, itself apart.
MAY_IMPORT = {
    **{layer: set(CHAIN[:i]) for i, layer in enumerate(CHAIN)},
    **dict.fromkeys(("losses", "metrics", "data"), _up_to("problems")),
    "viewer": {"core"},
    "scale": _up_to("algorithms"),
    "weights": {"core", "files"},
    "optim": _up_to("models"),
    "compat": _up_to("models"),
    "tasks": _up_to("models", "data"),
    "training": _up_to("tasks", "losses", "metrics", "data"),
    "estimators": _up_to("tasks", "losses", "metrics", "data"),
}
for _writer in ("data", "viewer", "tasks", "training", "estimators"):
    MAY_IMPORT[_writer].add("files")
MAY_IMPORT["export"] = MAY_IMPORT["files"] = {"core"}
MAY_IMPORT["records"] = {"core"}  # of how networks were made, which whatever fills a slot keeps
for _maker in CHAIN[1:]:
    MAY_IMPORT[_maker].add("records")
MAY_IMPORT["arguments"] = {"core"}  # what checks arguments; core checks its own, or has them checked from there
for _checked in set(MAY_IMPORT) - {"core", "arguments", "records"}:
    MAY_IMPORT[_checked].add("arguments")
for _layer in set(MAY_IMPORT):
    MAY_IMPORT[_layer].add("foundation")
MAY_IMPORT["foundation"] = set()  # it knows torch and nothing of this library
for _top in ("applications", "cli"):
    MAY_IMPORT[_top] |= set(MAY_IMPORT) - set(CHAIN)
MAY_IMPORT["__main__"] = set(MAY_IMPORT)
MAY_IMPORT["__init__"] = set(MAY_IMPORT) - {"__main__", "cli"}

# What no one needs to have: imported by ``require`` in the function that uses it. tests/test_extras.py has the extras.
OPTIONAL = set(
    "PIL tifffile skimage matplotlib torch_geometric networkx scipy higher onnx onnxscript onnxruntime h5py nibabel "
    "nrrd pydicom SimpleITK astropy finufft dask distributed zarr pooch sklearn torchmetrics torchopt".split()
)
HEAVY = OPTIONAL | {"requests", "yaml", "tensorboard", "torch.utils.tensorboard", "torch._dynamo", "torch._inductor"}
UNPICKLERS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "torch.load", "torch.jit.load"}
# Files that make a generator, or put one back; all others ask core.random for the stream of a seed and counters.
STREAMS = {
    f"metaopt/{p}.py"
    for p in "foundation/streams foundation/drawing core/autodiff operators/spectral operators/dictionary".split()
}
SEEDING = {"manual_seed", "manual_seed_all", "seed_all", "set_rng_state", "fork_rng"}
MUTABLE_CALLS = {"dict", "list", "set", "bytearray", "defaultdict", "deque", "OrderedDict", "Counter"}
MUTATORS = {"append", "extend", "insert", "add", "update", "setdefault", "pop", "clear", "remove", "discard", "popitem"}
BASES = {"Algorithm", "Operator"}
TORCH_MANDATED = {"state_dict", "to", "forward"}  # the last hands on what the wrapped module takes

Function = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Source:
    """One module of the package: its path, as in ``metaopt/core/slots.py``, and its text."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def layer(self) -> str:
        return Path(self.path).parts[1].removesuffix(".py")

    def at(self, node: ast.AST, message: str) -> str:
        return f"{self.path}:{node.lineno} {message}"

    def functions(self) -> Iterator[tuple[ast.AST, bool]]:
        """Every function and method, with whether a user can reach it by public names alone."""
        yield from _functions(self.tree, public=True)

    def classes(self) -> list[ast.ClassDef]:
        return [node for node in ast.walk(self.tree) if isinstance(node, ast.ClassDef)]


def _functions(scope: ast.AST, public: bool) -> Iterator[tuple[ast.AST, bool]]:
    for node in ast.iter_child_nodes(scope):
        if isinstance(node, Function):
            dunder = node.name.startswith("__") and node.name.endswith("__")
            yield node, public and (dunder or not node.name.startswith("_"))
            yield from _functions(node, public=False)
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node, public and not node.name.startswith("_"))
        else:
            yield from _functions(node, public)


def _dotted(node: ast.AST | None) -> str:
    """``a.b.c`` of an attribute chain, also under a call or a subscript; an empty string for anything else."""
    if isinstance(node, ast.Call):
        return _dotted(node.func)
    if isinstance(node, ast.Subscript):
        return _dotted(node.value)
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}".lstrip(".")
    return node.id if isinstance(node, ast.Name) else ""


def _last(node: ast.AST | None) -> str:
    return _dotted(node).rpartition(".")[2]


def _docstring_lines(node: ast.AST) -> set[int]:
    first = node.body[0] if node.body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return set(range(first.lineno, first.end_lineno + 1))
    return set()


def imports(source: Source, scope: ast.AST | None = None, inside_functions: bool = True) -> Iterator[tuple]:
    """(node, absolute dotted name) of everything imported; for ``from a import b`` that is ``a.b``."""
    for node in ast.iter_child_nodes(scope or source.tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = Path(source.path).parts[: -node.level] if node.level else ()
            module = ".".join((*package, *((node.module,) if node.module else ())))
            yield from ((node, f"{module}.{alias.name}") for alias in node.names)
        elif inside_functions or not (isinstance(node, (*Function, ast.Lambda)) or _is_type_checking(node)):
            yield from imports(source, node, inside_functions)


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and _last(node.test) == "TYPE_CHECKING"


def _is_in(name: str, packages: Iterable[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def file_length(source: Source) -> list[str]:
    lines = len(source.text.splitlines())
    return [f"{source.path} has {lines} lines (budget {FILE_LINES})"] if lines > FILE_LINES else []


def function_length(source: Source) -> list[str]:
    sizes = [(node, node.end_lineno - node.lineno + 1 - len(_docstring_lines(node))) for node, _ in source.functions()]
    return [
        source.at(node, f"{node.name} has {size} lines without its docstring (budget {FUNCTION_LINES})")
        for node, size in sizes
        if size > FUNCTION_LINES
    ]


def constructor_arguments(source: Source) -> list[str]:
    counts = [(node, _constructor_arguments(node)) for node in source.classes()]
    return [
        source.at(node, f"{node.name} takes {count} arguments (budget {CONSTRUCTOR_ARGUMENTS})")
        for node, count in counts
        if count > CONSTRUCTOR_ARGUMENTS
    ]


def _constructor_arguments(node: ast.ClassDef) -> int:
    for item in node.body:
        if isinstance(item, Function) and item.name == "__init__":
            return len(item.args.posonlyargs) + len(item.args.args) + len(item.args.kwonlyargs) - 1
    if not any(_last(decorator) == "dataclass" for decorator in node.decorator_list):
        return 0
    fields = [item for item in node.body if isinstance(item, ast.AnnAssign)]
    return sum("ClassVar" not in ast.unparse(f.annotation) and "init=False" not in ast.unparse(f) for f in fields)


def public_kwargs(source: Source) -> list[str]:
    return [
        source.at(node, f"{node.name} takes **{node.args.kwarg.arg}, which swallows misspelt arguments")
        for node, public in source.functions()
        if public and node.args.kwarg and node.name not in TORCH_MANDATED
    ]


def mutable_module_state(source: Source) -> list[str]:
    return [
        *(source.at(node, f"module-level '{name}' is mutable") for node, name in _mutable_globals(source)),
        *(
            source.at(node, f"'{name}' is a constant by its name, but is changed")
            for node, name in _mutations(source)
            if name.isupper()
        ),
        *(source.at(n, f"global {', '.join(n.names)}") for n in ast.walk(source.tree) if isinstance(n, ast.Global)),
    ]


def _mutable_globals(source: Source) -> Iterator[tuple[ast.AST, str]]:
    literals = (ast.Dict, ast.List, ast.Set, ast.DictComp, ast.ListComp, ast.SetComp)
    for node in source.tree.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        mutable = isinstance(node.value, literals) or (
            isinstance(node.value, ast.Call) and _last(node.value) in MUTABLE_CALLS
        )
        names = [_dotted(target) for target in targets]
        yield from ((node, name) for name in names if mutable and not (name.isupper() or name == "__all__"))


def _mutations(source: Source) -> Iterator[tuple[ast.AST, str]]:
    """What functions do to names: an item or attribute set, deleted or added to, a mutating method called."""
    inside = [node for function, _ in source.functions() for node in ast.walk(function)]
    for node in inside:
        if isinstance(node, ast.Subscript | ast.Attribute) and not isinstance(node.ctx, ast.Load):
            yield node, _dotted(node.value)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
            yield node, _dotted(node.func.value)


def import_arrows(source: Source) -> list[str]:
    if source.layer not in MAY_IMPORT:
        return [f"{source.path}: '{source.layer}' has no row in MAY_IMPORT; say there what it may import"]
    found = []
    for node, name in imports(source):
        parts = name.split(".")
        if parts[0] != "metaopt" or name == "metaopt.__version__":
            continue
        target = parts[1] if len(parts) > 1 else ""
        if target not in MAY_IMPORT:
            found.append(source.at(node, f"imports {name} from the top of the package: name the module it is in"))
        elif target != source.layer and target not in MAY_IMPORT[source.layer]:
            found.append(source.at(node, f"imports {name}, but {source.layer} may not see {target}"))
    return found


def heavy_imports(source: Source) -> list[str]:
    eager = [(node, name) for node, name in imports(source, inside_functions=False) if _is_in(name, HEAVY)]
    return [
        source.at(node, f"imports {name} when the module is imported; do it in the function that uses it")
        for node, name in eager
    ]


def optional_imports(source: Source) -> list[str]:
    blocks = [node for node in ast.walk(source.tree) if _is_type_checking(node)]
    for_types = {id(node) for block in blocks for node in ast.walk(block)}
    return [
        source.at(node, f"imports {name}, which not everyone has: use require(MODULE, EXTRA)")
        for node, name in imports(source)
        if _is_in(name, OPTIONAL) and id(node) not in for_types
    ]


def random_streams(source: Source) -> list[str]:
    """Generators that are made, and global ones that are seeded, outside of the module that gives everyone a stream."""
    return [
        source.at(node, f"calls {_last(node.func)}; draw from core.random.generator(seed, *counters)")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and source.path not in STREAMS
        if _last(node.func) in SEEDING or _dotted(node.func) == "torch.Generator"
    ]


def unpickling(source: Source) -> list[str]:
    imported = [(n, name) for n, name in imports(source) if _is_in(name, UNPICKLERS)]
    renamed = {
        alias.asname or alias.name: alias.name
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    found = [source.at(node, f"imports {name}, which can run code from a file") for node, name in imported]
    for node in ast.walk(source.tree):
        first, _, rest = _dotted(node).partition(".") if isinstance(node, ast.Attribute) else ("", "", "")
        name = f"{renamed.get(first, first)}.{rest}"
        if name in UNPICKLERS:
            found.append(source.at(node, f"{name} can run code from a file"))
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
            found.append(source.at(node.value, "allow_pickle can run code from a file"))
    return found


def abstract_bases(source: Source) -> list[str]:
    return [
        source.at(node, f"{node.name} is an abstract class; only {' and '.join(sorted(BASES))} are")
        for node in source.classes()
        if node.name not in BASES and _is_abstract(node)
    ]


def _is_abstract(node: ast.ClassDef) -> bool:
    bases = {_last(base) for base in (*node.bases, *(keyword.value for keyword in node.keywords))}
    methods = [item for item in node.body if isinstance(item, Function)]
    decorators = {_last(decorator) for method in methods for decorator in method.decorator_list}
    return bool(bases & {"ABC", "ABCMeta"} or ("Protocol" not in bases and "abstractmethod" in decorators))


def concrete_bases(sources: Iterable[Source]) -> list[str]:
    """Classes are abstract or final: none inherits from another of the package, exceptions and protocols apart."""
    classes = [(source, node) for source in sources for node in source.classes()]
    final = {
        node.name
        for _, node in classes
        if node.name not in BASES
        and not node.name.endswith(("Error", "Warning"))
        and "Protocol" not in {_last(base) for base in node.bases}
    }
    return [
        source.at(node, f"{node.name} inherits from {_last(base)}; wrap it instead")
        for source, node in classes
        for base in node.bases
        if _last(base) in final and not _is_in(_dotted(base), {"nn", "torch"})
    ]


def code_lines(text: str) -> int:
    """Lines that hold code: not blank, not only a comment, not a docstring."""
    blank = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    tokens = [token for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type not in blank]
    held = {line for token in tokens for line in range(token.start[0], token.end[0] + 1)}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (*Function, ast.ClassDef, ast.Module)):
            held -= _docstring_lines(node)
    return len(held)


def core_size(sources: Iterable[Source]) -> list[str]:
    sizes = {source.path: code_lines(source.text) for source in sources if source.layer == "core"}
    total = sum(sizes.values())
    return [f"core/ has {total} lines of code (budget {CORE_LINES}): {sizes}"] if total > CORE_LINES else []


def type_ignores(sources: Iterable[Source]) -> list[str]:
    """Comments that silence the type checker: more single lines than the budget, or any that may mean a whole file."""
    comments = [
        (f"{source.path}:{token.start[0]}", token)
        for source in sources
        for token in tokenize.generate_tokens(io.StringIO(source.text).readline)
        if token.type == tokenize.COMMENT and re.search(r"\b(type: ignore|pyright:)", token.string)
    ]
    found = [
        f"{place} silences the type checker on a line of its own, so in the whole file; mend the types"
        for place, token in comments
        if token.line.strip() == token.string
    ]
    if len(comments) > TYPE_IGNORES:
        places = ", ".join(place for place, _ in comments)
        found.append(f"The type checker is silenced {len(comments)} times (budget {TYPE_IGNORES}): {places}")
    return found
