"""What several commands have in common: types of arguments, the same options, and how success is reported."""

from __future__ import annotations

import argparse
from pathlib import Path

FILES = {
    "input": "the picture file: grey or colour, 8 or 16 bit, any size",
    "mask": "a picture file of the same size, white where pixels are to be filled in",
    "output": "the file to write; its ending says the format (.png, .jpg, .tif)",
}


def number(text: str) -> float:
    """The type of an option that takes a number."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def whole_number(text: str) -> int:
    """The type of an option that takes a whole number."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def add_files(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add positional arguments of ``FILES`` by their names."""
    for name in names:
        parser.add_argument(name, metavar=name.upper(), type=Path, help=FILES[name])


def add_network(parser: argparse.ArgumentParser, default: str | None, described: str | None = None) -> None:
    """Add the options that choose a trained network and how many steps it takes.

    ``described`` says in words what the default is where ``default`` is None.
    """
    said = f"the network: a name that `metaopt doctor` lists, or a .safetensors file (default: {described or default})"
    parser.add_argument("--weights", metavar="NAME_OR_FILE", default=default, help=said)
    parser.add_argument(
        "--steps", metavar="COUNT", type=whole_number, help="steps that the network takes (default: as in its training)"
    )


def say_written(path: Path) -> None:
    """The line that a command ends with when it has written a file."""
    print(f"Wrote {path} ({readable_size(path.stat().st_size)}).")


def readable_size(count: int) -> str:
    """A number of bytes as people read it."""
    if count < 1000:
        return f"{count} bytes"
    return f"{count / 1e3:.1f} kB" if count < 1e6 else f"{count / 1e6:.1f} MB"
