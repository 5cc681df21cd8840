"""``metaopt data`` lists the data sets that recipes and benchmarks read, and fetches them from their makers."""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
from pathlib import Path

from ..data.fetch import fetch_source
from ..data.sources import Source, read_source, source_names
from .arguments import readable_size, shown


def add(commands: argparse._SubParsersAction) -> None:
    """Add this command to the parser.

    Args:
        commands: The subparsers of the program.
    """
    parser = commands.add_parser(
        "data",
        help="list and fetch the data sets that recipes and benchmarks read",
        description="List the data sets that recipes and benchmarks read, and fetch them from their makers.",
    )
    actions = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    lists = actions.add_parser(
        "list",
        help="say what there is, with size, licence and use",
        description="Say which data sets there are, with size, licence and use. Nothing is downloaded.",
    )
    lists.add_argument("name", metavar="NAME", nargs="?", default="", help="only those whose names hold this")
    lists.set_defaults(run=_list)
    fetch = actions.add_parser(
        "fetch",
        help="download a data set and check its digests",
        description="Download a data set from its makers, after its licence was shown, and check the sha256 digest of "
        "each file. What is there already stays, and a download that broke off goes on.",
        epilog="examples:\n  metaopt data fetch natural/set5 --to /path/to/data\n"
        "  metaopt train denoise_grey --data /path/to/data",
    )
    fetch.add_argument("name", metavar="NAME", help="a data set that `metaopt data list` names")
    fetch.add_argument("--to", metavar="DIR", type=Path, help="the folder of data (default: METAOPT_DATA)")
    fetch.set_defaults(run=_fetch)


def _list(arguments: argparse.Namespace) -> None:
    names = source_names()
    chosen = [name for name in names if arguments.name in name] or [read_source(arguments.name).name]
    for name in chosen:
        source = read_source(name)
        print(f"{name}  ({_extent(source)})")
        _print_lines(source.title, f"use: {source.use}", f"licence: {source.licence}")


def _extent(source: Source) -> str:
    if not source.files:
        return "made by hand"
    files = "1 file" if len(source.files) == 1 else f"{len(source.files)} files"
    absent = sum(not file.url for file in source.files)
    return f"{files}, {readable_size(source.size)}" + (f", {absent} of them by hand" if absent else "")


def _print_lines(*lines: str) -> None:
    for line in lines:
        print(textwrap.fill(line, 110, initial_indent="    ", subsequent_indent="        ", break_on_hyphens=False))


def _fetch(arguments: argparse.Namespace) -> None:
    source = read_source(arguments.name)
    print(f"{source.name}  ({_extent(source)})")
    notes = [f"note: {source.note}"] if source.note else []
    _print_lines(source.title, f"from: {source.origin}", f"licence: {source.licence}", f"use: {source.use}", *notes)
    sys.stdout.flush()  # the licence is read before anything is downloaded
    got = fetch_source(source.name, arguments.to)
    folder = Path(arguments.to or os.environ["METAOPT_DATA"]) / source.name
    what = f"Wrote {len(got)} of" if got else "Had already"
    print(f"{what} {_extent(source)} in {shown(folder)}.")
