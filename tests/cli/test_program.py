"""The program around the commands: help, version, and what becomes of an error that no command foresaw."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import torch

import metaopt as mo
import metaopt_command
from metaopt.cli import main, program

ROOT = Path(__file__).parents[2]


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser and those of its commands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from parsers(inner)


def all_parsers() -> list[argparse.ArgumentParser]:
    return list(parsers(program.make_parser()))


@pytest.mark.parametrize("parser", all_parsers(), ids=lambda parser: parser.prog)
def test_help_fits_its_line_and_names_no_python_object(parser: argparse.ArgumentParser) -> None:
    text = parser.format_help()
    assert "<" not in text
    assert "None" not in text
    assert parser.description
    assert all(len(line) <= 100 for line in text.splitlines())


@pytest.mark.parametrize("parser", all_parsers(), ids=lambda parser: parser.prog)
def test_every_option_says_its_type_and_what_it_is_without_it(parser: argparse.ArgumentParser) -> None:
    for action in parser._actions:
        if action.dest in ("help", "version", "==SUPPRESS=="):
            continue
        assert action.help
        if action.option_strings:
            assert "(default: " in action.help or "(required)" in action.help, action.dest
            assert action.required == ("(required)" in action.help)
            assert action.metavar or action.nargs == 0, action.dest


def test_no_command_prints_the_help_and_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    for command in program.COMMANDS:
        assert f"\n    {command.__name__.rpartition('.')[2]} " in err


@pytest.mark.parametrize(
    ("option", "words"), [("--version", f"metaopt {mo.__version__}\n"), ("--help", "usage: metaopt")]
)
def test_what_is_asked_for_goes_to_standard_output(option: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([option])
    assert caught.value.code == 0
    out, err = capsys.readouterr()
    assert out.startswith(words)
    assert err == ""


def run_failing(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit status of a command that raises ``error``."""

    def fail(arguments: Any) -> None:
        raise error

    command = SimpleNamespace(add=lambda commands: commands.add_parser("fail").set_defaults(run=fail))
    monkeypatch.setattr(program, "COMMANDS", (command,))
    return main(["fail"])


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (mo.MetaoptError("No."), 2, "metaopt: No.\n"),
        (KeyboardInterrupt(), 130, "metaopt: interrupted\n"),
        (OSError(errno.ENOSPC, "No space left", "a.png"), 2, "metaopt: a.png cannot be used (No space left)\n"),
        (OSError("odd"), 2, "metaopt: a file cannot be used (odd)\n"),
        (MemoryError(), 2, "metaopt: there is not enough memory for this; close other programs, or ask for less\n"),
        (torch.OutOfMemoryError("CUDA out of memory."), 2, "metaopt: there is not enough memory"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_foreseeable_error_is_a_sentence(
    error: BaseException, status: int, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_failing(error, monkeypatch) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(words)
    assert err.count("\n") == 1


def test_memory_that_torch_cannot_have_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert run_failing(caught.value, monkeypatch) == 2
    assert "not enough memory" in capsys.readouterr().err


@pytest.mark.parametrize("error", [RuntimeError("a\nfault"), KeyError("k"), RecursionError(), AssertionError("\udcff")])
@pytest.mark.parametrize("debug", [False, True])
def test_a_fault_of_the_library_is_a_line_that_says_how_to_see_more(
    error: Exception, debug: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("METAOPT_DEBUG", "1" if debug else "")
    assert run_failing(error, monkeypatch) == 2
    err = capsys.readouterr().err
    assert err.splitlines()[-1].startswith(
        f"metaopt: this is a fault of metaopt {mo.__version__} ({type(error).__name__}"
    )
    assert ("Traceback" in err) == debug
    assert debug or err.count("\n") == 1


@pytest.mark.parametrize("caught", ["pass", "raise ImportError"])
def test_an_interruption_while_torch_is_imported_is_a_line(caught: str, tmp_path: Path) -> None:
    """Modules that catch whatever an import raises would turn it into another error, or go on."""
    (tmp_path / "torch.py").write_text(
        "import os, signal, time\ntry:\n    os.kill(os.getpid(), signal.SIGINT)\n    time.sleep(10)\n"
        f"except BaseException:\n    {caught}\n"
    )
    interruptible = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # also behind a shell's &
    start = f"import sys; {interruptible}; from metaopt_command import main; sys.exit(main())"
    found = subprocess.run(
        [sys.executable, "-c", start, "doctor"],
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert (found.returncode, found.stdout, found.stderr) == (130, b"", b"metaopt: interrupted\n")
    assert 'metaopt = "metaopt_command:main"' in (ROOT / "pyproject.toml").read_text()


def test_the_command_that_is_installed_runs_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGINT)
    with mock.patch.object(sys, "argv", ["metaopt"]):
        assert metaopt_command.main() == 2
    assert "commands:" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before
    with mock.patch.object(program, "make_parser", side_effect=KeyboardInterrupt):
        assert metaopt_command.main() == 130
    assert capsys.readouterr().err == "metaopt: interrupted\n"


def test_a_message_of_several_lines_is_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_failing(mo.MetaoptError("No,\n  not so."), monkeypatch) == 2
    assert capsys.readouterr().err == "metaopt: No, not so.\n"


def test_a_reader_who_leaves_is_no_error() -> None:
    code = (
        "import sys\nfrom types import SimpleNamespace as N\nfrom metaopt.cli import program\n"
        "run = lambda _: print('line\\n' * 100_000)\n"
        "program.COMMANDS = (N(add=lambda c: c.add_parser('long').set_defaults(run=run)),)\n"
        "sys.exit(program.main(['long']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == "line\n"
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


def test_a_warning_is_a_line_and_the_way_to_show_warnings_is_put_back(capsys: pytest.CaptureFixture[str]) -> None:
    before = warnings.showwarning
    status = program._run(argparse.Namespace(run=lambda _: warnings.showwarning("look twice", UserWarning, "a", 1)))
    assert status == 0
    assert capsys.readouterr().err == "metaopt: look twice\n"
    assert warnings.showwarning is before
