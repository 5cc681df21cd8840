"""``metaopt mri reconstruct`` makes pictures of k-space."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .arguments import add_network, bounds, going_on, number, say_written, whole_number
from .mri_info import add_reading, opened

if TYPE_CHECKING:
    from ..applications.mri import Reconstruction


def add(commands: argparse._SubParsersAction) -> None:
    """Add this command to the parser.

    Args:
        commands: The subparsers of ``metaopt mri``.
    """
    parser = commands.add_parser(
        "reconstruct",
        help="make pictures of k-space",
        description="Make pictures of k-space, slice by slice, and write their magnitudes as NIfTI. An interrupted run "
        "goes on where it was if the same command is given again.",
        epilog="examples:\n"
        "  metaopt mri reconstruct scan.h5 head.nii.gz\n"
        "  metaopt mri reconstruct brain.mat brain.nii --variable DATA --method cs --slices 0:1\n"
        "  metaopt mri reconstruct scan.h5 head.nii.gz --check --steps-out head.npz",
    )
    add_reading(parser)
    parser.add_argument("output", metavar="OUT", type=Path, help="the file to write, .nii or .nii.gz")
    parser.add_argument(
        "--method",
        metavar="{rim,cs,tv,cg,zero}",
        default="rim",
        help="rim: a trained network; cs: sparse wavelets; tv: small total variation; cg: least squares (SENSE); zero: "
        "zeros where nothing was measured (default: %(default)s)",
    )
    _add_measured(parser)
    add_network(parser, "mri")
    parser.add_argument(
        "--weight",
        metavar="NUMBER",
        type=number,
        help="how smooth pictures of cs, tv and cg are, where they reach 1 (default: 0.25, 0.15 or 1.2 over the noise)",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="print how well the pictures explain the data, beside the noise (default: not)",
    )
    parser.add_argument(
        "--steps-out",
        metavar="FILE",
        type=Path,
        help="a .npz file for the pictures of every step, for `metaopt view` (default: none)",
    )
    parser.add_argument(
        "--target",
        metavar="FILE",
        type=Path,
        help="the true picture, NIfTI, to be kept beside those of every step (default: that of KSPACE)",
    )
    parser.set_defaults(run=_run)


def _add_measured(parser: argparse.ArgumentParser) -> None:
    """Add what says which data are used, and what is known of them."""
    parser.add_argument(
        "--slices",
        metavar="A:B",
        type=_range,
        default=(None, None),
        help="slices A up to, but without, B, from 0 (default: all)",
    )
    parser.add_argument(
        "--volume", metavar="NUMBER", type=whole_number, help="which volume of several (default: the only one)"
    )
    parser.add_argument(
        "--mask",
        metavar="FILE",
        type=Path,
        help="a .npy file of ones and zeros: which samples are used, centred (default: all)",
    )
    parser.add_argument(
        "--noise",
        metavar="NUMBER",
        type=number,
        help="standard deviation of the real part of the noise, in the units of k-space (default: of the file's "
        "scan of noise, or of the border of k-space)",
    )
    parser.add_argument(
        "--maps", metavar="FILE", type=Path, help="a .npy file of the coils' maps (default: by ESPIRiT from k-space)"
    )
    parser.add_argument(
        "--sets",
        metavar="COUNT",
        type=whole_number,
        default=1,
        help="sets of maps, 2 where the field of view is smaller than the object (default: %(default)s)",
    )


def _range(text: str) -> tuple[int | None, int | None]:
    try:
        return bounds(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r:.80} is not a range of slices, as 10:20, 10: or :20") from None


def _run(arguments: argparse.Namespace) -> int:
    from ..applications.mri import Request, Settings, reconstruct_file

    settings = Settings(arguments.method, arguments.weights, arguments.steps, arguments.weight)
    request = Request(
        arguments.output,
        arguments.noise,
        arguments.mask,
        arguments.maps,
        arguments.sets,
        arguments.slices,
        arguments.volume,
        arguments.steps_out,
    )
    with going_on(arguments.output):
        found = reconstruct_file(opened(arguments), request, settings, arguments.target)
    if arguments.check:
        _say_checked(found, arguments.method, arguments.slices[0] or 0)
    for path in (arguments.output, arguments.steps_out):
        if path is not None:
            say_written(path)
    return 0


def _say_checked(found: Reconstruction, method: str, first: int) -> None:
    """Print how well the pictures, of slices from ``first`` on, explain the data."""
    if found.noise is None or method == "zero":
        print("The zero-filled pictures explain the data exactly, noise included, so nothing can be checked.")
        return
    levels = found.residual.double()
    overall, worst = float(levels.square().mean().sqrt()), int(levels.argmax())
    print(f"Noise of k-space: {found.noise.level:.4g} for a real component, {found.noise.source}.")
    where = ""
    if len(levels) > 1:
        where = f", and {float(levels[worst]):.3g} in slice {first + worst}, the worst of {len(levels)}"
    print(f"What the pictures leave of the data: {overall:.3g} of the noise (1 is ideal){where}.")
    if overall > 1.5:
        print("The pictures contradict the data: look at the maps of the coils, the noise, or take another method.")
