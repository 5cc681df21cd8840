"""``metaopt doctor`` reports what is installed, what it runs on, and where data and weights are."""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import torch

from .. import __version__
from ..data.sources import source_names
from ..weights.cards import SHIPPED, shipped
from .arguments import readable_size

DISTRIBUTION = "metaopt-torch"
FEATURES = ("avx", "avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "asimd", "bf16", "sve")


def add(commands: argparse._SubParsersAction) -> None:
    """Add this command to the parser.

    Args:
        commands: The subparsers of the program.
    """
    parser = commands.add_parser(
        "doctor",
        help="say what is installed, what it runs on, and where data and weights are",
        description="Say what is installed, what it runs on, and where data and weights are, as a report of a fault "
        "should say too. Needs none of the extras.",
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    for title, lines in _sections():
        print(title)
        print(*(f"  {line}" for line in lines), sep="\n")


def _sections() -> Iterator[tuple[str, list[str]]]:
    yield "versions", _versions()
    yield "processor", _processor()
    yield "devices", _devices()
    yield "data", _data()
    yield "weights", _weights()
    yield "extras", _extras()


def _versions() -> list[str]:
    required = _requirements().get("") or ["torch", "numpy"]
    return [
        f"metaopt {__version__}, in {Path(__file__).parents[1]}",
        f"Python {platform.python_version()}, {sys.executable}",
        *(f"{name} {_installed(name) or 'is missing'}" for name in required),
    ]


def _requirements() -> dict[str, list[str]]:
    """Return the packages of each extra that ``all`` includes, and under an empty name those that are always required.

    They are read from the metadata of the installation; there are none where the library runs from a source folder.
    """
    found: dict[str, list[str]] = {}
    with contextlib.suppress(metadata.PackageNotFoundError):
        for text in metadata.requires(DISTRIBUTION) or ():
            extra = re.search(r"extra\s*==\s*['\"]([\w.-]+)", text)
            found.setdefault(extra.group(1) if extra else "", []).append(text)
    joined = re.findall(r"[\w.-]+", found["all"][0].partition("[")[2].partition("]")[0]) if "all" in found else []
    names = [extra for extra in found if extra in joined or not extra]
    return {extra: [re.split(r"[^\w.-]", text)[0] for text in found[extra]] for extra in names}


def _installed(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> list[str]:
    model, flags = platform.processor() or platform.machine(), set()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            model = value.strip() if key.strip() == "model name" else model
            flags |= set(value.split()) if key.strip().lower() in ("flags", "features") else set()
    except OSError:  # not Linux
        pass
    threads, variable = torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS", "not set")
    return [
        f"{model}, {os.cpu_count()} processors, {platform.system()} {platform.machine()}",
        f"features: {', '.join(name for name in FEATURES if name in flags) or 'unknown'}; "
        f"torch uses {torch.backends.cpu.get_cpu_capability()}",
        f"threads of torch: {threads} (OMP_NUM_THREADS is {variable})",
    ]


def _devices() -> list[str]:
    found = ["cpu"]
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            device = torch.cuda.get_device_properties(index)
            found.append(f"cuda:{index}, {device.name}, {device.total_memory / 2**30:.0f} GiB")
    else:
        build = torch.version.cuda
        found.append(
            f"no cuda: {f'torch is built for {build}, but finds no GPU' if build else 'torch is built without'}"
        )
    if torch.backends.mps.is_available():
        found.append("mps")
    return found


def _data() -> list[str]:
    root = os.environ.get("METAOPT_DATA", "")
    if not root:
        return ["METAOPT_DATA is not set; it names the folder of data that metaopt data fetch fills"]
    if not Path(root).is_dir():
        return [f"METAOPT_DATA is {root}, which is no folder"]
    found = [name for name in source_names() if (Path(root) / name).is_dir()]
    return [f"METAOPT_DATA is {root}; metaopt data list says what can be fetched", *(found or ["no data set is there"])]


def _weights() -> list[str]:
    sizes = {name: (SHIPPED / f"{name}.safetensors").stat().st_size for name in shipped()}
    lines = [f"{name}: {readable_size(size)}" for name, size in sizes.items()]
    return [*lines, f"together: {readable_size(sum(sizes.values()))}"]


def _extras() -> list[str]:
    extras = {extra: packages for extra, packages in _requirements().items() if extra}
    if not extras:
        return [f"{DISTRIBUTION} is not installed, so its extras are unknown: pip install {DISTRIBUTION}"]
    lines = []
    for extra, packages in extras.items():
        versions = {package: _installed(package) for package in packages}
        said = ", ".join(f"{package} {version or 'is missing'}" for package, version in versions.items())
        remedy = "" if all(versions.values()) else f": pip install '{DISTRIBUTION}[{extra}]'"
        lines.append(f"{extra}: {said}{remedy}")
    return lines
