"""Read pickles of NumPy arrays, sparse matrices, dicts and lists, without unpickling them.

A pickle is a program that can call anything. Here its instructions are only read, as the module ``pickletools`` lists
them, and carried out on stand-ins: numbers, texts, lists, dicts and :class:`Call`, which records what would be called
and is never called. No constructor of NumPy or SciPy sees anything of the file but the bytes of an array, whose number
has to be what its shape and type ask for.
"""

from __future__ import annotations

import math
import pickletools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...core import MetaoptError
from ...files import read_bytes

LARGEST = 2**28  # bytes of a file
MOST_INSTRUCTIONS = 10**7
TYPES = frozenset("b1 i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8".split())
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
NUMBERS_AND_TEXTS = frozenset(
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE "
    "SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8".split()
)
EMPTY = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
NAMES = frozenset(
    {("numpy", "ndarray"), ("numpy", "dtype"), ("collections", "defaultdict"), ("_codecs", "encode")}
    | {(module, "_reconstruct") for module in ("numpy.core.multiarray", "numpy._core.multiarray")}
    | {(module, "csr_matrix") for module in ("scipy.sparse.csr", "scipy.sparse._csr")}
    | {("copy_reg", "_reconstructor"), ("copyreg", "_reconstructor")}
    | {(module, name) for module in ("__builtin__", "builtins") for name in ("object", "list")}
)


@dataclass(frozen=True)
class Name:
    """Stand for an object that the pickle names.

    Args:
        module: The module.
        name: The name in it.
    """

    module: str
    name: str


@dataclass(eq=False)
class Call:
    """Stand for what a call would return, and for the state that it would be given.

    Args:
        name: The name of what would be called.
        arguments: Its arguments.
        state: What the pickle would set afterwards.
    """

    name: str
    arguments: tuple[Any, ...]
    state: Any = field(default=None)


@dataclass(frozen=True)
class SparseRows:
    """Hold the parts of a sparse matrix by rows (CSR).

    Args:
        shape: (rows, columns).
        indptr: (rows + 1,) int64, where each row starts in the other two, and where the last ends.
        indices: (n,) int64, columns.
        data: (n,) values.
    """

    shape: tuple[int, int]
    indptr: np.ndarray
    indices: np.ndarray
    data: np.ndarray


def read_array_pickle(path: Path) -> Any:
    """Read a pickle of an array, a sparse matrix, or dicts and lists of numbers and texts.

    Args:
        path: The file.

    Returns:
        An array, a :class:`SparseRows`, or dicts and lists.

    Raises:
        MetaoptError: The file cannot be read, is damaged, or asks for anything else.
    """
    try:
        return _finished(_carried_out(read_bytes(path, LARGEST)))
    except MetaoptError:
        raise
    except OSError as error:
        raise MetaoptError(f"{path} cannot be read ({error.strerror or error}).") from error
    except Exception as error:  # a broken pickle can ask for almost anything of lists and dicts
        raise MetaoptError(f"{path} is not read: {error}.") from error


def _carried_out(data: bytes) -> Any:
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[Any, Any] = {}
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        name = opcode.name
        if count > MOST_INSTRUCTIONS:
            raise ValueError("it has too many instructions")
        if name == "STOP":
            return stack.pop()
        if name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "MARK":
            marks.append(len(stack))
        elif name not in ("PROTO", "FRAME"):
            _step(name, argument, stack, marks)
    raise ValueError("it has no end")


def _step(name: str, argument: Any, stack: list[Any], marks: list[int]) -> None:
    """Carry out one instruction that changes the stack."""
    if name in NUMBERS_AND_TEXTS:
        stack.append(argument)
    elif name in CONSTANTS:
        stack.append(CONSTANTS[name])
    elif name in EMPTY:
        stack.append(EMPTY[name]())
    elif name in TUPLES:
        stack.append(tuple(_taken(stack, len(stack) - TUPLES[name])))
    elif name in ("TUPLE", "LIST", "DICT"):
        items = _taken(stack, marks.pop())
        stack.append(tuple(items) if name == "TUPLE" else items if name == "LIST" else _pairs(items))
    elif name in ("APPEND", "APPENDS"):
        items = _taken(stack, marks.pop() if name == "APPENDS" else len(stack) - 1)
        _only(stack[-1], list).extend(items)
    elif name in ("SETITEM", "SETITEMS"):
        items = _taken(stack, marks.pop() if name == "SETITEMS" else len(stack) - 2)
        _only(stack[-1], dict).update(_pairs(items))
    elif name in ("GLOBAL", "STACK_GLOBAL"):
        words = argument.split(" ", 1) if name == "GLOBAL" else _taken(stack, len(stack) - 2)
        if tuple(words) not in NAMES:
            raise ValueError(f"it asks for {'.'.join(map(str, words)):.80}, which is no array")
        stack.append(Name(*words))
    elif name in ("REDUCE", "NEWOBJ"):
        function, arguments = _taken(stack, len(stack) - 2)
        stack.append(_called(function, arguments))
    elif name == "BUILD":
        state = stack.pop()
        _only(stack[-1], Call).state = state
    else:
        raise ValueError(f"it has the instruction {name}, which no array needs")


def _taken(stack: list[Any], start: int) -> list[Any]:
    if not 0 <= start <= len(stack):
        raise ValueError("it takes more than it has put")
    items = stack[start:]
    del stack[start:]
    return items


def _pairs(items: list[Any]) -> dict[Any, Any]:
    keys, values = items[::2], items[1::2]
    if len(keys) != len(values) or not all(isinstance(key, int | str) for key in keys):
        raise ValueError("a dict in it has keys that are no numbers and texts")
    return dict(zip(keys, values, strict=True))


def _only(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"it treats a {type(value).__name__} as a {kind.__name__}")
    return value


def _called(function: Any, arguments: Any) -> Any:
    name, given = _only(function, Name).name, _only(arguments, tuple)
    if name == "encode":  # how Python 3 writes bytes for Python 2
        return _only(given[0], str).encode("latin1")
    if name == "defaultdict":
        return {}
    if name == "_reconstructor":  # it makes an object of the class that comes first
        return Call(_only(given[0], Name).name, ())
    return Call(name, given)


def _finished(value: Any) -> Any:
    """Return the array or matrix that a stand-in describes; dicts and lists of plain values are themselves."""
    if not isinstance(value, Call):
        return value
    if value.name == "_reconstruct":
        return _array(value)
    if value.name == "csr_matrix" and isinstance(value.state, dict):
        return _sparse(value.state)
    raise ValueError(f"it holds a {value.name}, which is no array")


def _array(call: Call) -> np.ndarray:
    _, shape, kind, by_columns, data = _only(call.state, tuple)
    kind = _only(kind, Call)
    code, order = (
        str(kind.arguments[0]),
        kind.state[1] if isinstance(kind.state, tuple) and len(kind.state) > 1 else "<",
    )
    data = data.encode("latin1") if isinstance(data, str) else _only(data, bytes)
    if kind.name != "dtype" or code not in TYPES or order not in ("<", ">", "|", "="):
        raise ValueError(f"it holds an array of type {code:.40}, which is none of numbers")
    if not isinstance(shape, tuple) or len(shape) > 2 or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError("it holds an array that has no shape of a vector or a matrix")
    if math.prod(shape) * int(code[1:]) != len(data):
        raise ValueError(f"it holds an array of shape {shape}, but {len(data)} bytes for it")
    flat = np.frombuffer(data, np.dtype(code).newbyteorder("<" if order in "|=" else order))
    flat = flat.astype(flat.dtype.newbyteorder("="))
    return flat.reshape(shape[::-1]).T if by_columns is True else flat.reshape(shape)


def _sparse(state: dict[Any, Any]) -> SparseRows:
    shape = state["_shape"] if "_shape" in state else state["shape"]
    indptr, indices, data = (_finished(state[key]) for key in ("indptr", "indices", "data"))
    arrays = all(isinstance(part, np.ndarray) and part.ndim == 1 for part in (indptr, indices, data))
    if not arrays or indptr.dtype.kind != "i" or indices.dtype.kind != "i" or data.dtype.kind not in "iuf":
        raise ValueError("it holds a sparse matrix whose parts are no vectors of numbers")
    if not isinstance(shape, tuple) or len(shape) != 2 or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError("it holds a sparse matrix without a shape")
    starts, columns = indptr.astype(np.int64), indices.astype(np.int64)
    ends_fit = len(starts) == shape[0] + 1 and starts[0] == 0 and starts[-1] == len(columns) == len(data)
    if not ends_fit or (np.diff(starts) < 0).any() or (columns < 0).any() or (columns >= shape[1]).any():
        raise ValueError(f"it holds a sparse matrix of shape {shape} with entries elsewhere")
    return SparseRows((shape[0], shape[1]), starts, columns, data)
