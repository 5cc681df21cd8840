"""``metaopt demo`` reconstructs three pictures and writes a page about them."""

from __future__ import annotations

import argparse
from pathlib import Path


def add(commands: argparse._SubParsersAction) -> None:
    """Add this command to the parser.

    Args:
        commands: The subparsers of the program.
    """
    parser = commands.add_parser(
        "demo",
        help="reconstruct three pictures and write a page about it",
        description="Reconstruct three pictures with trained networks, print PSNR and SSIM at every step, and write a "
        "page that shows the steps. Takes some minutes; needs the extra pictures.",
        epilog="example:\n  metaopt demo --out demo",
    )
    parser.add_argument(
        "--out", metavar="FOLDER", type=Path, default=Path("demo"), help="where index.html goes (default: %(default)s)"
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    from ..applications.demo import run_demo

    run_demo(arguments.out)
