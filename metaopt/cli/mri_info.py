"""``metaopt mri info`` says what a file of k-space holds; here are the options of how it is read, too."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..foundation.errors import MetaoptError
from .arguments import index

if TYPE_CHECKING:
    from ..data import KSpace


def add(commands: argparse._SubParsersAction) -> None:
    """Add this command to the parser.

    Args:
        commands: The subparsers of ``metaopt mri``.
    """
    parser = commands.add_parser(
        "info",
        help="say what a file of k-space holds",
        description="Say what a file of k-space holds: axes, coils, slices, sampling, noise, calibration region, field "
        "of view and centring.",
        epilog="examples:\n  metaopt mri info scan.h5\n  metaopt mri info brain.mat --variable DATA",
    )
    add_reading(parser)
    parser.set_defaults(run=_run)


def add_reading(parser: argparse.ArgumentParser) -> None:
    """Add the file of k-space, and what may have to be said about it.

    Args:
        parser: The parser of a command.
    """
    parser.add_argument(
        "kspace",
        metavar="KSPACE",
        type=Path,
        help="the file: fastMRI or ISMRMRD .h5, BART .cfl, MATLAB .mat, NumPy .npy or .npz",
    )
    parser.add_argument(
        "--axes",
        metavar="WORDS",
        help="what each axis of the file's array is, as 'coil row column' (default: as the format or the sizes say)",
    )
    parser.add_argument("--variable", metavar="NAME", help="the array in the file (default: the only one)")
    parser.add_argument(
        "--select",
        metavar="AXIS=NUMBER",
        action="append",
        type=_selected,
        default=[],
        help="the entry of an axis that is never mixed, as contrast=1; may be given several times (default: the "
        "only one)",
    )
    parser.add_argument(
        "--centred",
        metavar="{yes,no}",
        choices=("yes", "no"),
        help="whether frequency 0 and the middle of the picture are in the middle of the array, and not at index 0 "
        "(default: where their energy is)",
    )


def opened(arguments: argparse.Namespace) -> KSpace:
    """Return what was found in the file of k-space.

    Args:
        arguments: Those of :func:`add_reading`.
    """
    from ..data import open_kspace

    chosen = dict(arguments.select)
    if len(chosen) < len(arguments.select):
        raise MetaoptError("The same axis is selected from twice; give --select AXIS=NUMBER once for an axis.")
    centred = None if arguments.centred is None else arguments.centred == "yes"
    return open_kspace(arguments.kspace, arguments.axes, arguments.variable, chosen, centred)


def _selected(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    try:
        return name.strip(), index(number if name.strip() else "")
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r:.80} is not an axis and a number, as contrast=1") from None


def _run(arguments: argparse.Namespace) -> None:
    from ..applications.mri import describe

    print(describe(opened(arguments)).encode("utf-8", "backslashreplace").decode())
