"""Collect the commands of ``metaopt``, run one, and report errors in a sentence."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import torch

from .. import __version__
from ..core import MetaoptError
from . import airway, data, demo, denoise, doctor, infer, inpaint, mri, radio, train, upscale, view

COMMANDS = (demo, denoise, upscale, inpaint, infer, mri, airway, radio, view, train, data, doctor)


class _Formatter(argparse.HelpFormatter):
    """Wrap descriptions, and keep the lines of examples."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if "\n" in text else super()._fill_text(text, width, indent)


class _Parser(argparse.ArgumentParser):
    """Report errors in one sentence; the parsers of the commands, which this parser makes, do so too."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, formatter_class=_Formatter, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        _say(f"{message}; see {self.prog} --help")
        self.exit(2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The arguments. None: those of the process.

    Returns:
        The exit status: 0 for success, 2 where the request cannot be met (with one sentence on standard error), 130
        after an interruption.
    """
    parser = make_parser()
    words = sys.argv[1:] if arguments is None else list(arguments)
    for word in words:
        if "\0" in word:
            parser.error(f"{word!r:.80} holds a null character, which no name and no number has")
        if word.startswith("-") and word.partition("=")[2] == "--":  # of which argparse makes an empty list
            parser.error(f"{word!r:.80} gives no value")
    parsed = parser.parse_args(words)
    if parsed.run is None:
        parser.print_help(sys.stderr)
        return 2
    return _run(parsed)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the program, which includes those of all commands."""
    parser = _Parser(prog="metaopt", description="Unrolled algorithms that learn.")
    parser.add_argument(
        "--version", action="version", version=f"metaopt {__version__}", help="show the version and exit"
    )
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", help="what to do; COMMAND --help says how")
    for command in COMMANDS:
        command.add(commands)
    return parser


def _run(parsed: argparse.Namespace) -> int:
    try:
        with _same_environment(), warnings.catch_warnings():
            warnings.showwarning = _say
            status = parsed.run(parsed) or 0
        sys.stdout.flush()  # here, so that a closed pipe raises inside this `try`
        return status
    except MetaoptError as error:
        _say(error)
    except KeyboardInterrupt as error:
        _say(f"interrupted; {error}" if str(error) else "interrupted")
        return 130
    except BrokenPipeError:  # the reader of the pipe, such as `head`, has ended
        with contextlib.suppress(OSError, ValueError):  # or Python reports an error at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        _say(f"{error.filename or 'a file'} cannot be used ({error.strerror or error})")
    except Exception as error:  # the last handler: whatever it is, the user gets one line
        _say(
            "there is not enough memory for this; close other programs, or ask for less"
            if _is_out_of_memory(error)
            else _fault(error)
        )
    return 2


@contextlib.contextmanager
def _same_environment() -> Iterator[None]:
    """Put the environment back afterwards, which is that of a program that calls :func:`main`."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update({name: value for name, value in before.items() if os.environ.get(name) != value})


def _fault(error: Exception) -> str:
    """Return the line about an error that nothing foresaw; with METAOPT_DEBUG set, its traceback is shown before."""
    if os.environ.get("METAOPT_DEBUG"):
        _write("".join(traceback.format_exception(error)))
    return (
        f"this is a fault of metaopt {__version__} ({type(error).__name__}: {error}); set METAOPT_DEBUG=1 to see where "
        "it happened, and report it with what `metaopt doctor` says"
    )


def _is_out_of_memory(error: Exception) -> bool:
    """Return whether memory ran out; on the CPU, torch reports it by a plain RuntimeError."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _say(message: object, *_: object) -> None:
    """Print one line on standard error; also used as ``warnings.showwarning``."""
    _write(f"metaopt: {' '.join(str(message).split())}\n")


def _write(text: str) -> None:
    """Write on standard error what its encoding can hold, and nothing where nobody can be told."""
    with contextlib.suppress(OSError, ValueError):
        encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
        sys.stderr.write(text.encode(encoding, "backslashreplace").decode(encoding))
