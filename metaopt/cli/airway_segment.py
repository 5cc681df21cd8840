"""``metaopt airway segment`` finds the airways in a chest CT; here are the options of how it does, too."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from .airway_measure import add_outputs
from .arguments import say_written


def add(commands: argparse._SubParsersAction) -> None:
    """Add this command to the parser.

    Args:
        commands: The subparsers of ``metaopt airway``.
    """
    parser = commands.add_parser(
        "segment",
        help="find the airways in a chest CT",
        description="Find the airways in a chest CT, and write their lumen as a NIfTI mask that lies on the CT.",
        epilog="examples:\n"
        "  metaopt airway segment ct.nii.gz airways.nii.gz\n"
        "  metaopt airway segment DICOM/ airways.nii.gz --tree tree.swc --table branches.csv\n"
        "  metaopt airway segment ct.nrrd airways.nii.gz --method grow --page airways.html",
    )
    add_method(parser)
    parser.add_argument("output", metavar="OUT", type=Path, help="the mask to write, .nii or .nii.gz")
    add_outputs(parser)
    parser.add_argument(
        "--page",
        metavar="PAGE.html",
        type=Path,
        help="the file for a page with the tree in three dimensions beside the slices of the CT (default: none)",
    )
    parser.set_defaults(run=_run)


def add_method(parser: argparse.ArgumentParser) -> None:
    """Add the CT, and how airways are found in it.

    Args:
        parser: The parser of a command.
    """
    parser.add_argument(
        "ct", metavar="CT", type=Path, help="the CT, .nii, .nii.gz, .nrrd or the folder of its DICOM slices"
    )
    parser.add_argument(
        "--method",
        metavar="NAME",
        default="gnn",
        help="gnn: a graph network judges the branches; mfn: a mean-field network; bp: belief propagation; mst: the "
        "shortest tree; threshold: the airwayness alone; grow: region growing (default: %(default)s)",
    )
    parser.add_argument(
        "--series",
        metavar="NUMBER_OR_UID",
        help="which series of a folder that holds several, as the error without it lists them (default: the only one)",
    )


@contextlib.contextmanager
def shown_progress() -> Iterator[Callable[[str], None]]:
    """Show on a terminal what is being done, and for how long; elsewhere nothing.

    Returns:
        A context manager that gives the function to be told what is done next.
    """
    from tqdm import tqdm

    with tqdm(bar_format="{desc} ({elapsed})", disable=None, leave=False) as bar:
        yield bar.set_description_str


def _run(arguments: argparse.Namespace) -> None:
    from ..applications.airway import Outputs, segment_file

    outputs = Outputs(arguments.output, arguments.tree, arguments.table, arguments.page)
    with shown_progress() as say:
        found = segment_file(arguments.ct, outputs, arguments.method, arguments.series, say)
    for note in found.notes:
        print(f"{note[:1].upper()}{note[1:].removesuffix('.')}.".encode("utf-8", "backslashreplace").decode())
    for path in outputs.paths:
        say_written(path)
