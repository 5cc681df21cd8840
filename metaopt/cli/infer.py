"""``metaopt infer`` computes marginals, log Z or the most probable assignment of a model in a UAI file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .arguments import memory, say_written, tolerance, whole_number

TOLERANCE = 0.01


def add(commands: argparse._SubParsersAction) -> None:
    """Add this command to the parser.

    Args:
        commands: The subparsers of the program.
    """
    parser = commands.add_parser(
        "infer",
        help="marginals, log Z or the likeliest assignment of a UAI model",
        description="Marginals, log Z or the likeliest assignment of a discrete model in a UAI file. The answer is in "
        "UAI's format; whether it can be trusted stands on stderr.",
        epilog="examples:\n"
        "  metaopt infer grass.uai --task MAR\n"
        "  metaopt infer grass.uai --evidence grass.evid --task MAP --method exact --out grass.MAP\n"
        "  metaopt infer grass.uai --task PR --method trw --strict",
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        type=Path,
        help="the model, a .uai file (MARKOV or BAYES), as it is or compressed (gz, bz2)",
    )
    parser.add_argument(
        "--evidence", metavar="FILE", type=Path, help="observed variables, a .evid file (default: none)"
    )
    parser.add_argument(
        "--sample",
        metavar="NUMBER",
        type=whole_number,
        help="which sample of evidence, from 0, where the file holds several (default: its only one)",
    )
    parser.add_argument(
        "--task",
        metavar="{MAR,PR,MAP,MPE}",
        required=True,
        help="marginals, log10 Z or the likeliest assignment, which has two names (required)",
    )
    parser.add_argument(
        "--method",
        metavar="{auto,exact,bp,trw,mf,many-starts,learned}",
        default="auto",
        help="auto: exact where --memory allows, otherwise many-starts; exact: the junction tree; bp: belief "
        "propagation; trw: tree-reweighted; mf: mean field; many-starts: belief propagation from many starts, with "
        "constant weights where it does not converge; learned: the same with trained weights (default: %(default)s)",
    )
    parser.add_argument("--out", metavar="FILE", type=Path, help="where the answer goes (default: standard output)")
    _add_limits(parser)
    parser.set_defaults(run=_run)


def _add_limits(parser: argparse.ArgumentParser) -> None:
    """Add what limits the work, and what an answer has to be."""
    parser.add_argument(
        "--steps",
        metavar="COUNT",
        type=whole_number,
        default=500,
        help="the most steps of a run (default: %(default)s)",
    )
    parser.add_argument(
        "--memory",
        metavar="SIZE",
        type=memory,
        default="4G",
        help="what exact inference may take, such as 500M (default: %(default)s)",
    )
    parser.add_argument(
        "--tolerance",
        metavar="NUMBER",
        type=tolerance,
        default=TOLERANCE,
        help="how far approximations may differ: in a probability (MAR), in log10 Z (PR) or in the log10 probability "
        "of the assignment (MAP) (default: %(default)s)",
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="exit with status 3 unless the answer is exact, or has converged and agrees with other "
        "approximations within --tolerance (default: 0)",
    )


def _run(arguments: argparse.Namespace) -> int:
    from ..applications.inference import infer_file

    answer, text = infer_file(
        arguments.model,
        arguments.evidence,
        arguments.task,
        arguments.method,
        arguments.out,
        arguments.steps,
        arguments.memory,
        arguments.sample,
    )
    if arguments.out is None:
        print(text, end="")
    else:
        say_written(arguments.out)
    print(f"metaopt: {answer.verdict(arguments.task, arguments.method, arguments.tolerance)}", file=sys.stderr)
    return 3 if arguments.strict and not answer.trusted(arguments.tolerance) else 0
