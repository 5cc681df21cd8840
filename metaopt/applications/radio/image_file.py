"""Make pictures of a file of visibilities and write them as FITS; a run that is cut off goes on where it was."""

from __future__ import annotations

import hashlib
import logging
import math
import shutil
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ... import __version__
from ...arguments.checks import check_count, check_number
from ...arguments.contracts import checked
from ...core import MetaoptError
from ...data import SkyPicture, VisibilitySet, read_coverage, write_sky_picture
from ...files import check_output, locked, make_folder, read_bytes
from ...foundation.errors import warn_user
from ...foundation.extras import require
from ...operators.visibilities import NOTICED
from ...scale import channel_by_channel
from ...weights.cards import weight_file
from .image import Fact, Pictures, Source, beam_of, read_facts
from .methods import Imaging, load_network
from .plan import groups_of, look_outside
from .survey import survey

MISFIT = 1.5  # of the noise, that a picture may leave of the data without a word
LARGEST = 2**30  # bytes of a file of weights
ENDINGS = (".fits", ".fit")


@dataclass(frozen=True)
class Request:
    """Say which pictures of a set are made.

    Args:
        size: The pixels along a side.
        cell: The size of a pixel in radians. None: a third of the largest that the longest baseline allows.
        channels: The first channel, and the one to stop before, or None.
        planes: The number of pictures, over which the channels are shared out evenly. None: one for each channel.
        workers: None for one picture after the other; a number of threads; ``"processes:N"``; or the address of a dask
            scheduler.

    Raises:
        MetaoptError: An argument is none of these.
    """

    size: int = 512
    cell: float | None = None
    channels: tuple[int | None, int | None] = (None, None)
    planes: int | None = None
    workers: int | str | None = None

    def __post_init__(self) -> None:
        check_count("The size of a picture", self.size, 16, 2**16)
        if self.cell is not None:
            check_number("The cell", self.cell, above=0)
        if self.planes is not None:
            check_count("The number of pictures", self.planes)
        if isinstance(self.workers, int):
            check_count("The number of workers", self.workers)


@dataclass(frozen=True)
class Imaged:
    """Say what was made.

    Args:
        shape: (planes, H, W).
        cell: The size of a pixel in radians.
        unit: "JY/PIXEL" or "JY/BEAM".
        facts: What is known of each picture.
    """

    shape: tuple[int, int, int]
    cell: float
    unit: str
    facts: Sequence[Fact]


@checked
def image_file(source: Source, out: Path, request: Request, settings: Imaging) -> Imaged:
    """Make pictures of visibilities and write them as FITS, in memory of one picture for each worker.

    The right ascension grows to the left. Pictures by "dirty" and "clean" are in Jy/beam, others in Jy/pixel; those of
    several channels ascend in frequency. What is finished stays in a hidden folder beside the file while the run is
    not: after an interruption, a full disk or a killed worker the same call goes on.

    Args:
        source: The set.
        out: The file to write, .fits.
        request: Which pictures.
        settings: The method.

    Returns:
        What was made.

    Raises:
        MetaoptError: The set cannot be read or is wholly flagged, cells are too coarse, channels cannot be pictures of
            one file, the folder is of another run, or the file cannot be written.
    """
    if not out.name.lower().endswith(ENDINGS):
        raise MetaoptError(f"{out} does not say that it is FITS; end it in .fits.")
    check_output(out, source.path)
    load_network(settings)
    found = source.open()
    groups, frequency = groups_of(found.frequency, request.channels, request.planes)
    pictures = _planned(source, found, groups, request, settings, folder_of(out.absolute()) / "facts")
    with _resumable(out, _identity(pictures)) as store:
        cube = _run(pictures, store, request.workers)
        facts = read_facts(pictures.facts, len(groups))
        if any("the noise is not known" in note for note in found.notes):
            facts = [replace(fact, misfit=None, noise=math.nan) for fact in facts]
        _say_doubts(facts, groups, found)
        unit = "JY/BEAM" if settings.method in ("dirty", "clean") else "JY/PIXEL"
        # Dirty beams differ from channel to channel, and FITS has one.
        beam = facts[0].beam if len(groups) == 1 or settings.method == "clean" else None
        empty = torch.zeros(()).expand(len(groups), *pictures.shape)
        picture = SkyPicture(empty, pictures.cell, found.direction, frequency, unit, beam)
        write_sky_picture(out, picture, (torch.from_numpy(cube[number]) for number in range(len(groups))))
    return Imaged((len(groups), *pictures.shape), pictures.cell, unit, facts)


def folder_of(out: Path) -> Path:
    """Return the hidden folder that holds what is finished of a file that is being made.

    Args:
        out: The file.
    """
    return out.with_name(f".{out.name}.partial")


def _planned(
    source: Source,
    found: VisibilitySet,
    groups: Sequence[Sequence[int]],
    request: Request,
    settings: Imaging,
    facts: Path,
) -> Pictures:
    """Look at the set before any picture is made, and say or refuse what would make a wrong one."""
    chosen = sorted(number for group in groups for number in group)
    cover = survey(read_coverage(source.path, source.window, source.field).narrowed(chosen))
    cell = cover.largest_cell / 3 if request.cell is None else float(request.cell)
    cover.check_cell(cell)
    shape = (request.size, request.size)
    wide = cover.w_phase(shape, cell) > NOTICED
    used = dict(zip(chosen, cover.used.tolist(), strict=True))
    first = next(number for number, group in enumerate(groups) if any(used[channel] for channel in group))
    source = replace(source, path=source.path.absolute())  # as workers may be in other folders
    plain = Pictures(source, groups, shape, cell, wide, settings, None, facts)
    with torch.no_grad():
        look_outside(found.narrowed(list(groups[first])), shape, cell)
        beam = beam_of(plain.gridded(first), cell) if settings.method == "clean" and len(groups) > 1 else None
    return Pictures(source, groups, shape, cell, wide, settings, beam, facts)


def _run(pictures: Pictures, store: Path, workers: Any) -> Any:
    from tqdm import tqdm

    count, ended = len(pictures.groups), threading.Event()

    def done() -> int:
        return len(list(pictures.facts.glob("*.json")))

    def watch(bar: Any) -> None:
        while not ended.wait(0.5):
            if (more := done() - bar.n) > 0:
                bar.update(more)

    with (
        tqdm(total=count, initial=done(), desc="pictures", mininterval=1.0, delay=1.0) as bar,
        _workers(workers) as given,
    ):
        watching = threading.Thread(target=watch, args=(bar,), daemon=True)
        watching.start()
        try:
            return channel_by_channel(pictures, count, store, _words(pictures), given)
        finally:
            ended.set()
            watching.join()
            bar.update(done() - bar.n)


@contextmanager
def _workers(workers: Any) -> Iterator[Any]:
    """Give workers as :func:`channel_by_channel` takes them; each computes on one thread of torch."""
    if workers is None:
        yield None
    elif isinstance(workers, str) and workers.partition(":")[0] == "processes":
        number = workers.partition(":")[2]
        if not number.isdecimal() or not 0 < int(number) < 1000:
            raise MetaoptError(f"Processes are given as processes:4, but got {workers!r:.80}.")
        distributed = require("distributed", "scale")
        settings = {"threads_per_worker": 1, "dashboard_address": None, "silence_logs": logging.CRITICAL}
        with _uninterrupted():
            cluster = distributed.LocalCluster(int(number), **settings)
        loop = logging.getLogger("asyncio")  # it tells of tasks that an interruption has left alone
        before, loop.disabled = loop.disabled, True
        try:
            with cluster, distributed.Client(cluster) as client:
                yield client
        finally:
            loop.disabled = before
    else:
        count = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield workers
        finally:
            torch.set_num_threads(count)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach: this one ends them, and they have nothing to say of it."""
    if threading.current_thread() is not threading.main_thread():  # where signals cannot be set
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _resumable(out: Path, identity: str) -> Iterator[Path]:
    """Hold the folder of what is finished; it stays unless the run ends well or nothing is finished."""
    folder = folder_of(out)
    facts, note = folder / "facts", folder / "run.txt"
    make_folder(facts)
    done = False
    try:
        with locked(folder, f"makes {out.name} and keeps its pictures there", "write to another file"):
            if note.exists() and note.read_text() != identity:
                if any(facts.glob("*.json")):
                    raise MetaoptError(
                        f"{folder} holds what another run has finished of {out.name}, of other data, options or "
                        "version; give that command again to end it, delete the folder, or write to another file."
                    )
                shutil.rmtree(folder / "store", ignore_errors=True)
            note.write_text(identity)
            yield folder / "store"
            done = True
    except OSError as error:
        raise MetaoptError(f"{folder} cannot be written ({error.strerror or error}); write elsewhere.") from error
    finally:
        if done or not any(facts.glob("*.json")):
            shutil.rmtree(folder, ignore_errors=True)


def _identity(pictures: Pictures) -> str:
    """Return a digest of all that the pictures depend on."""
    path = pictures.source.path
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    stats = [
        (str(f.name), f.stat().st_size, f.stat().st_mtime_ns) for f in files if f.is_file() and "lock" not in f.name
    ]
    return hashlib.sha256(f"{_words(pictures)} {stats}".encode()).hexdigest()


def _words(pictures: Pictures) -> str:
    settings, own = pictures.settings, ""
    if settings.method == "rim":
        own = hashlib.sha256(read_bytes(weight_file(settings.network), LARGEST)).hexdigest()
    source = pictures.source
    return (
        f"{__version__} {source.path.resolve()} {source.column} {source.window} {source.field} {pictures.groups} "
        f"{pictures.shape} {pictures.cell!r} {pictures.wide} {settings} {own}"
    )


def _say_doubts(facts: Sequence[Fact], groups: Sequence[Sequence[int]], found: VisibilitySet) -> None:
    """Warn of pictures that are blank or contradict the data, and raise where all are blank."""
    blank = [channel for fact, group in zip(facts, groups, strict=True) if fact.blank for channel in group]
    if len(blank) == sum(len(group) for group in groups):
        raise MetaoptError(
            f"Every visibility of {found.path} in these channels is flagged, has weight 0 or is not finite, so there "
            "is nothing to make a picture of; choose other channels, another field, window or column, or look at its "
            "flags."
        )
    if blank:
        listed = ", ".join(map(str, blank[:10])) + (", ..." if len(blank) > 10 else "")
        count = sum(fact.blank for fact in facts)
        warn_user(f"All visibilities of channel {listed} are flagged, so {count} pictures are blank (NaN).")
    misfits = [fact.misfit for fact in facts if fact.misfit is not None]
    if max(misfits, default=0.0) > MISFIT:
        many = f"{sum(misfit > MISFIT for misfit in misfits)} of {len(facts)} pictures leave" if len(facts) > 1 else ""
        warn_user(
            f"{many or 'The picture leaves'} up to {max(misfits):.3g} times the noise of the data (1 is ideal), and "
            "may be wrong: the source may be larger than the picture (--size), the sky may differ between the "
            "channels that are joined (--planes), the data may not be calibrated, their weights may not be "
            "1 / variance, or --steps are too few."
        )
