"""``metaopt radio`` makes pictures of interferometers' visibilities, looks at these, and simulates them."""

from __future__ import annotations

import argparse

from . import radio_image, radio_info, radio_simulate


def add(commands: argparse._SubParsersAction) -> None:
    """Add this command to the parser.

    Args:
        commands: The subparsers of the program.
    """
    parser = commands.add_parser(
        "radio",
        help="from an interferometer's visibilities to pictures of the sky",
        description="Make pictures of visibilities (measurement sets, uvfits, NumPy), look at these, or simulate them. "
        "Needs the extra radio.",
    )
    actions = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (radio_image, radio_info, radio_simulate):
        command.add(actions)
