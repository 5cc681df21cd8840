"""``metaopt airway`` finds the airways in chest CT, compares them with a reference, and measures masks of them."""

from __future__ import annotations

import argparse

from . import airway_evaluate, airway_measure, airway_segment


def add(commands: argparse._SubParsersAction) -> None:
    """Add this command to the parser.

    Args:
        commands: The subparsers of the program.
    """
    parser = commands.add_parser(
        "airway",
        help="from a chest CT to its airways",
        description="Find the airways in a chest CT (NIfTI, NRRD, DICOM), compare them with a reference mask, or "
        "measure the branches of a mask. Needs the extra airway.",
    )
    actions = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (airway_segment, airway_evaluate, airway_measure):
        command.add(actions)
