"""``metaopt mri simulate`` simulates the k-space of a volume."""

from __future__ import annotations

import argparse
from pathlib import Path

from .arguments import number, say_written, whole_number


def add(commands: argparse._SubParsersAction) -> None:
    """Add this command to the parser.

    Args:
        commands: The subparsers of ``metaopt mri``.
    """
    parser = commands.add_parser(
        "simulate",
        help="simulate the k-space of a volume",
        description="Simulate the k-space of a NIfTI volume of magnitudes: coils, a smooth phase, noise and "
        "undersampling. The file is as of fastMRI, with the true pictures beside k-space.",
        epilog="example:\n  metaopt mri simulate head.nii.gz kspace.h5 --acceleration 4 --coils 8",
    )
    parser.add_argument("volume", metavar="VOLUME", type=Path, help="the volume, .nii or .nii.gz")
    parser.add_argument("kspace", metavar="KSPACE", type=Path, help="the file to write, .h5")
    parser.add_argument(
        "--acceleration",
        metavar="NUMBER",
        type=number,
        default=4.0,
        help="number of points over number of samples (default: %(default)s)",
    )
    parser.add_argument(
        "--coils", metavar="COUNT", type=whole_number, default=8, help="number of coils (default: %(default)s)"
    )
    parser.add_argument(
        "--noise",
        metavar="NUMBER",
        type=number,
        default=0.02,
        help="standard deviation of the real and of the imaginary part, where the brightest voxels are 1 (default: "
        "%(default)s)",
    )
    parser.add_argument(
        "--mask",
        metavar="NAME",
        default="gaussian",
        help="gaussian, poisson, radial, spiral or partial: single points of a Gaussian density, of which no two are "
        "near, next to lines through the middle or to a spiral, or those of gaussian in 5/8 of the columns; "
        "gaussian-columns, columns or equispaced: whole columns, of a Gaussian density, each as likely, or at equal "
        "distances (default: %(default)s)",
    )
    parser.add_argument(
        "--center",
        metavar="SHARE",
        type=number,
        help="how much of the middle is sampled in full: the share of columns, or of single points the half axes of an "
        "ellipse, as a share of the sides (default: 0.1, or as much as several coils need)",
    )
    parser.add_argument(
        "--seed", metavar="NUMBER", type=whole_number, default=0, help="of phase, coils, mask and noise (default: 0)"
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    from ..applications.mri import simulate_file

    simulate_file(
        arguments.volume,
        arguments.kspace,
        arguments.acceleration,
        arguments.coils,
        arguments.noise,
        arguments.mask,
        arguments.seed,
        arguments.center,
    )
    say_written(arguments.kspace)
