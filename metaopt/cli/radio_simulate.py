"""``metaopt radio simulate`` simulates what an interferometer observes of a picture."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from .arguments import number, shown, whole_number


def add(commands: argparse._SubParsersAction) -> None:
    """Add this command to the parser.

    Args:
        commands: The subparsers of ``metaopt radio``.
    """
    parser = commands.add_parser(
        "simulate",
        help="simulate the visibilities of a picture",
        description="Simulate the visibilities of a FITS picture in Jy/pixel or Jy/beam: the rotation of the earth, "
        "channels, and thermal noise of the receivers.",
        epilog="example:\n  metaopt radio simulate sky.fits out.ms --array meerkat --hours 2 --channels 4",
    )
    parser.add_argument("sky", metavar="SKY", type=Path, help="the picture, FITS")
    parser.add_argument("out", metavar="OUT", type=Path, help="what to write: a measurement set (.ms), or NumPy (.npz)")
    parser.add_argument(
        "--array",
        metavar="NAME",
        default="vla-a",
        help="vla-a to vla-d, meerkat, ska1-mid, lofar, atca, wsrt, kat-7, or a table of stations, x y z in metres "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--like",
        metavar="VIS",
        type=Path,
        help="a set of visibilities whose baselines, flags, weights and frequencies are taken (default: those of "
        "--array)",
    )
    numbers = (
        ("--hours", "hours", 1.0, "length of the observation in hours; 0 for a snapshot (default: %(default)s)"),
        ("--integration", "integration", 60.0, "seconds of a row (default: %(default)s)"),
        ("--hour-angle", "hour_angle", 0.0, "hour angle in the middle, in hours (default: %(default)s)"),
        ("--frequency", "frequency", None, "middle of the band in MHz (default: the picture's, or the array's)"),
        ("--bandwidth", "bandwidth", 64.0, "width of the band in MHz (default: %(default)s)"),
        ("--sefd", "sefd", None, "system equivalent flux density in Jy; 0 for no noise (default: the array's)"),
        (
            "--cell",
            "cell",
            None,
            "size of a pixel in arcseconds (default: as the picture says)",
        ),
    )
    for option, name, default, said in numbers:
        parser.add_argument(option, metavar="NUMBER", dest=name, type=number, default=default, help=said)
    parser.add_argument(
        "--channels", metavar="COUNT", type=whole_number, default=1, help="channels of the band (default: %(default)s)"
    )
    parser.add_argument("--seed", metavar="NUMBER", type=whole_number, default=0, help="of the noise (default: 0)")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    from ..applications.radio import Observation, simulate_file

    observation = Observation(
        arguments.array,
        arguments.hours * 3600,
        arguments.integration,
        None if arguments.frequency is None else arguments.frequency * 1e6,
        arguments.bandwidth * 1e6,
        arguments.channels,
        arguments.hour_angle * math.pi / 12,
        arguments.sefd,
    )
    cell = None if arguments.cell is None else math.radians(arguments.cell / 3600)
    simulate_file(arguments.sky, arguments.out, observation, arguments.seed, cell, arguments.like)
    print(f"Wrote {shown(arguments.out)}.")
