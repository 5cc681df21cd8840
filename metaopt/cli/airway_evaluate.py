"""``metaopt airway evaluate`` compares the airways that are found in a CT with a reference mask."""

from __future__ import annotations

import argparse
from pathlib import Path

from .airway_segment import add_method, shown_progress


def add(commands: argparse._SubParsersAction) -> None:
    """Add this command to the parser.

    Args:
        commands: The subparsers of ``metaopt airway``.
    """
    parser = commands.add_parser(
        "evaluate",
        help="compare the airways found in a CT with a reference mask",
        description="Find the airways in a CT, and compare them with a reference mask of the same grid. If CT is a "
        "mask, of 0 and one other value, it is compared as it is.",
        epilog="examples:\n"
        "  metaopt airway evaluate ct.nii.gz reference.nii.gz\n"
        "  metaopt airway evaluate airways.nii.gz reference.nii.gz",
    )
    add_method(parser)
    parser.add_argument("mask", metavar="MASK", type=Path, help="the reference mask, .nii, .nii.gz or .nrrd")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    from ..applications.airway import describe_scores, evaluate_file

    with shown_progress() as say:
        scores = evaluate_file(arguments.ct, arguments.mask, arguments.method, arguments.series, say)
    print(describe_scores(scores))
