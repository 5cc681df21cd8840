"""``metaopt radio`` looks at visibilities of interferometers, and simulates them."""

from __future__ import annotations

import argparse

from . import radio_info, radio_simulate


def add(commands: argparse._SubParsersAction) -> None:
    """Add this command to the parser.

    Args:
        commands: The subparsers of the program.
    """
    parser = commands.add_parser(
        "radio",
        help="from an interferometer's visibilities to pictures of the sky",
        description="Look at visibilities (measurement sets, uvfits, NumPy), or simulate them. Needs the extra radio.",
    )
    actions = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (radio_info, radio_simulate):
        command.add(actions)
