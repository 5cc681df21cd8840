"""``metaopt mri`` looks at k-space, reconstructs pictures of it, and simulates it."""

from __future__ import annotations

import argparse

from . import mri_info, mri_reconstruct, mri_simulate


def add(commands: argparse._SubParsersAction) -> None:
    """Add this command to the parser.

    Args:
        commands: The subparsers of the program.
    """
    parser = commands.add_parser(
        "mri",
        help="from a scanner's k-space to pictures",
        description="Look at k-space (fastMRI, ISMRMRD, BART, MATLAB, NumPy), reconstruct pictures of it, or simulate "
        "it. Needs the extra mri.",
    )
    actions = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (mri_info, mri_reconstruct, mri_simulate):
        command.add(actions)
