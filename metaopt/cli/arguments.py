"""Define what several commands share: argument types, common options, and the report of success."""

from __future__ import annotations

import argparse
import contextlib
import math
from collections.abc import Iterator
from pathlib import Path

from ..foundation.errors import MetaoptError
from ..foundation.literals import literal

FILES = {
    "input": "the picture file: grey or colour, 8 or 16 bit, any size",
    "mask": "a picture file of the same size, white where pixels are to be filled in",
    "output": "the file to write; its ending says the format (.png, .jpg, .tif)",
}


def number(text: str) -> float:
    """Convert the text of an option to a number.

    Args:
        text: What the user wrote.

    Returns:
        The number.

    Raises:
        argparse.ArgumentTypeError: The text is not a number, or one that is beyond float64.
    """
    try:
        return literal(_plain(text))
    except MetaoptError as error:
        raise argparse.ArgumentTypeError(str(error).removesuffix(".")) from None
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r:.80} is not a number") from None


def whole_number(text: str) -> int:
    """Convert the text of an option to a whole number.

    Args:
        text: What the user wrote.

    Returns:
        The number.

    Raises:
        argparse.ArgumentTypeError: The text is not a whole number.
    """
    try:
        value = int(_plain(text))
    except ValueError:
        if not text.isascii() or not text.strip().lstrip("+-").isdecimal():
            raise argparse.ArgumentTypeError(f"{text!r:.80} is not a whole number") from None
        value = 2**63  # Python reads at most 4300 digits
    if abs(value) >= 2**63:
        raise argparse.ArgumentTypeError(f"{text!r:.80} is too large a number")
    return value


def _plain(text: str) -> str:
    """Return the text of a number, and raise where Python reads what no other program does, such as 1_0 as 10."""
    if "_" in text or not text.isascii():
        raise ValueError(text)
    return text


def index(text: str) -> int:
    """Convert a part of an option to an index.

    Args:
        text: What the user wrote.

    Returns:
        The number.

    Raises:
        ValueError: The text is not made of digits alone.
        argparse.ArgumentTypeError: It is too large a number.
    """
    if not text.strip().isdecimal():
        raise ValueError(text)
    return whole_number(text)


def bounds(text: str) -> tuple[int | None, int | None]:
    """Convert an option ``A:B`` to where a range begins and where it stops, each None where it is left out.

    Args:
        text: What the user wrote.

    Raises:
        ValueError: The text is no such range.
        argparse.ArgumentTypeError: A number is too large.
    """
    first, colon, stop = text.partition(":")
    if not colon:
        raise ValueError(text)
    return index(first) if first.strip() else None, index(stop) if stop.strip() else None


@contextlib.contextmanager
def going_on(output: Path) -> Iterator[None]:
    """Say, where Ctrl-C interrupts the block, that the same command goes on.

    Args:
        output: The file that the block writes in the end.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"{shown(output)} is not written yet, and the same command goes on where it was"
        ) from None


def tolerance(text: str) -> float:
    """Convert the text of an option to a tolerance.

    Args:
        text: What the user wrote.

    Returns:
        The number.

    Raises:
        argparse.ArgumentTypeError: The text is not a finite number above 0.
    """
    value = number(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"a tolerance is a finite number above 0, but got {text!r:.80}")
    return value


def memory(text: str) -> int:
    """Convert the text of an option to a number of bytes.

    Args:
        text: What the user wrote, such as ``4G``, ``500M`` or a number of bytes.

    Returns:
        The number of bytes.

    Raises:
        argparse.ArgumentTypeError: The text is no size, or not above 0.
    """
    units = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
    plain = text.strip().upper().removesuffix("B").removesuffix("I")
    unit = units.get(plain[-1:], 1)
    try:
        value = float(_plain(plain[:-1] if unit > 1 else plain)) * unit
    except ValueError:
        value = 0.0
    if not 1 <= value < 2**63:
        raise argparse.ArgumentTypeError(f"{text!r:.80} is not a size such as 4G or 500M")
    return int(value)


def add_files(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add positional arguments for files.

    Args:
        parser: The parser of a command.
        names: Keys of ``FILES``.
    """
    for name in names:
        parser.add_argument(name, metavar=name.upper(), type=Path, help=FILES[name])


def add_network(parser: argparse.ArgumentParser, default: str | None, described: str | None = None) -> None:
    """Add the options that choose a trained network and its number of steps.

    Args:
        parser: The parser of a command.
        default: The shipped network that is used by default.
        described: The default in words, where ``default`` is None.
    """
    said = f"the network: a name that `metaopt doctor` lists, or a .safetensors file (default: {described or default})"
    parser.add_argument("--weights", metavar="NAME_OR_FILE", default=default, help=said)
    parser.add_argument(
        "--steps", metavar="COUNT", type=whole_number, help="steps that the network takes (default: as in its training)"
    )


def say_written(path: Path) -> None:
    """Print the line with which a command ends when it has written a file.

    Args:
        path: The file.
    """
    print(f"Wrote {shown(path)} ({readable_size(path.stat().st_size)}).")


def shown(path: Path) -> str:
    """Return the name of a file as it can be printed, also where it is not text.

    Args:
        path: The file.

    Returns:
        The name, with escapes for what is no text.
    """
    return str(path).encode("utf-8", "backslashreplace").decode()


def readable_size(count: int) -> str:
    """Return a number of bytes in readable units.

    Args:
        count: The number of bytes.

    Returns:
        A text such as ``1.2 MB``.
    """
    if count < 1000:
        return f"{count} bytes"
    return f"{count / 1e3:.1f} kB" if count < 1e6 else f"{count / 1e6:.1f} MB"
