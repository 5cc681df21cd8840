"""``metaopt view`` writes a page about a reconstruction and opens it."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from .arguments import say_written, shown


def add(commands: argparse._SubParsersAction) -> None:
    """Add this command to the parser.

    Args:
        commands: The subparsers of the program.
    """
    parser = commands.add_parser(
        "view",
        help="show a reconstruction step by step in the browser",
        description="Write one page that needs nothing else, and open it: the slices of a result at every step, beside "
        "target and error. The result is an .npz file with arrays estimates_NAME (steps + 1, D, H, W), one for each "
        "method, and, if there are, target (D, H, W), mask (H, W), spacing (3,) and axes. Needs the extras viewer "
        "and pictures.",
        epilog="example:\n  metaopt view head.npz --out head.html",
    )
    parser.add_argument("result", metavar="RESULT", type=Path, help="the .npz file")
    parser.add_argument(
        "--out", metavar="PAGE", type=Path, help="the .html file to write (default: beside RESULT, with its name)"
    )
    parser.add_argument(
        "--axes",
        metavar="LETTERS",
        help="where D, H and W grow to, such as SPL: superior, posterior, left (default: as RESULT says)",
    )
    parser.add_argument(
        "--no-open", action="store_true", help="write the page without opening it (default: it is opened)"
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    from ..applications.view import view_result

    page = arguments.out or arguments.result.parent / f"{arguments.result.stem}.html"
    view_result(arguments.result, page, arguments.axes)
    say_written(page)
    if not arguments.no_open and not _opened(page):
        print(f"No browser was found; open {shown(page)} in one.")


def _opened(page: Path) -> bool:
    """Open a page, unless there is no screen, on which a browser for terminals would take this one."""
    screens = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    if sys.platform.startswith("linux") and not any(map(os.environ.get, screens)):
        return False
    import webbrowser

    return webbrowser.open(page.resolve().as_uri())
