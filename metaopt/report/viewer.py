"""One self-contained page that walks through the time-steps of a reconstruction."""

from __future__ import annotations

import json
import os
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Any

from torch import Tensor

from metaopt.core.errors import MetaoptError
from metaopt.files import make_folder, replacing
from metaopt.report import chart, pictures


@dataclass(frozen=True)
class Walk:
    """The way of an iterative algorithm to its estimate. For every sequence, number 0 is before the first step.

    Args:
        estimates: (H, W) or (3, H, W) in [0, 1] each, real.
        psnr: In dB, one for every estimate.
        trained_steps: How many steps it was trained for; the page opens there.
        method: The algorithm's name.
    """

    estimates: Sequence[Tensor]
    psnr: Sequence[float]
    trained_steps: int
    method: str = "RIM"


@dataclass(frozen=True)
class Rival:
    """What another algorithm makes of the same measurement.

    Args:
        name: The algorithm's name.
        picture: Its estimate, of the target's shape.
        psnr: In dB, drawn as a level line.
        path: Its PSNR after each step, before the first one first, drawn as far as the walk goes. May be empty.
    """

    name: str
    picture: Tensor
    psnr: float
    path: Sequence[float] = ()


@dataclass(frozen=True)
class Row:
    """A line of the table: how good a method is after so many steps, and how many seconds each of them takes."""

    method: str
    psnr: float
    ssim: float
    steps: int
    seconds_per_step: float


@dataclass(frozen=True)
class Section:
    """An inverse problem and what came of it.

    Args:
        title: Its name.
        text: What is shown: data, operator, noise; plain sentences.
        target: (H, W) or (3, H, W) in [0, 1], real.
        walk: The estimates that the slider walks through.
        rivals: The algorithms to compare with.
        rows: The table.
        given: The measurement, to look at: pictures (the noisy picture, the mask of k-space, A^T y) by their names.
    """

    title: str
    text: str
    target: Tensor
    walk: Walk
    rivals: Sequence[Rival] = ()
    rows: Sequence[Row] = ()
    given: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that the parts fit each other."""
        _check_walk(self.title, self.walk)
        shape = tuple(self.target.shape)
        shown = {f"estimate {t}": picture for t, picture in enumerate(self.walk.estimates)}
        for name, picture in {"target": self.target, **shown, **{r.name: r.picture for r in self.rivals}}.items():
            if tuple(picture.shape) != shape:
                raise MetaoptError(f"{self.title}: {name} is {tuple(picture.shape)}, but the target is {shape}.")
            pictures.check(f"{self.title}: {name}", picture)
        for name, picture in self.given.items():
            pictures.check(f"{self.title}: {name}", picture)


def _check_walk(title: str, walk: Walk) -> None:
    if len(walk.psnr) != len(walk.estimates) or len(walk.estimates) < 2:
        raise MetaoptError(
            f"{title}: a walk has one PSNR for each of its estimates and at least two of them (before and after a "
            f"step), but here are {len(walk.estimates)} estimates and {len(walk.psnr)} PSNRs."
        )
    if not 1 <= walk.trained_steps < len(walk.estimates):
        steps = len(walk.estimates) - 1
        raise MetaoptError(f"{title}: the walk has {steps} steps, so trained_steps is not {walk.trained_steps}.")


def write_page(folder: str | os.PathLike[str], sections: Sequence[Section], title: str, intro: str) -> Path:
    """Write ``index.html`` into ``folder``, which is made where it is missing.

    The page needs no network: styles, script and pictures (lossless PNG) are inside, and a content security policy
    holds it to that. It grows by about 0.4 MB for each step of a 512 x 512 picture.

    Returns:
        The file's path. It appears complete or not at all.

    Raises:
        MetaoptError: There are no sections, or the folder cannot be written to.
    """
    if not sections:
        raise MetaoptError("A page needs at least one section; none was given.")
    page = make_folder(Path(folder).resolve()) / "index.html"
    with replacing(page) as file:
        file.write(_page(sections, title, intro).encode())
    return page


def _page(sections: Sequence[Section], title: str, intro: str) -> str:
    style, script = (_beside(name).strip() for name in ("viewer.css", "viewer.js"))
    links = [f'<a href="#section-{i}">{escape(section.title)}</a>' for i, section in enumerate(sections, 1)]
    parts = {
        "policy": f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'",
        "title": escape(title),
        "intro": _paragraphs(intro),
        "links": " ".join(links) if len(links) > 1 else "",
        "style": style,
        "sections": "\n".join(_section(i, section) for i, section in enumerate(sections, 1)),
        "script": script,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], _beside("viewer.html"))


def _beside(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _hash(inline: str) -> str:
    return f"'sha256-{b64encode(sha256(inline.encode()).digest()).decode()}'"


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{escape(paragraph.strip())}</p>" for paragraph in text.split("\n\n") if paragraph.strip())


def _section(number: int, section: Section) -> str:
    walk, steps = section.walk, len(section.walk.estimates) - 1
    white = pictures.error_scale(walk.estimates[walk.trained_steps], section.target)
    drawing = chart.draw(walk, section.rivals)
    names = [walk.method, *(rival.name for rival in section.rivals)]
    return f"""<section class="problem" id="section-{number}" aria-labelledby="title-{number}">
<h2 id="title-{number}">{escape(section.title)}</h2>
<div class="about"><div>{_paragraphs(section.text)}</div>{_given(section.given)}</div>
<div class="controls">
<button type="button" class="play">Play</button>
<label for="step-{number}">step t</label>
<input type="range" id="step-{number}" class="step" min="0" max="{steps}" step="1" value="{walk.trained_steps}">
<output class="where" for="step-{number}"></output>
{_choice(number, names)}
</div>
<div class="panels">
{_panel("estimate", "", section.target)}
{_panel("target", "Target", section.target)}
{_panel("error", "Absolute error", section.target, white)}
</div>
<div class="figures">
<div class="chart">{drawing.svg}{drawing.legend}</div>
{_table(section)}
</div>
<script type="application/json" class="data">{_json(_data(section, white, drawing))}</script>
</section>"""


def _given(given: Mapping[str, Tensor]) -> str:
    figures = [
        f'<figure><img src="{pictures.data_uri(picture)}" alt="{escape(name)}"{pictures.rendering(picture)}>'
        f"<figcaption>{escape(name)}</figcaption></figure>"
        for name, picture in given.items()
    ]
    return f'<div class="given">{"".join(figures)}</div>' if figures else ""


def _choice(number: int, names: Sequence[str]) -> str:
    """The switch that puts a rival's picture into the left panel."""
    if len(names) < 2:
        return ""
    options = [
        f'<label><input type="radio" name="left-{number}" value="{i}"{" checked" * (i == 0)}>'
        f"<span>{escape(name)}</span></label>"
        for i, name in enumerate(names)
    ]
    return f'<fieldset class="choice"><legend>Left picture</legend>{"".join(options)}</fieldset>'


def _panel(kind: str, caption: str, target: Tensor, white: float = 1.0) -> str:
    source = f' src="{pictures.data_uri(target)}" alt="Target"' if kind == "target" else ' alt=""'
    return (
        f'<figure class="{kind}"><figcaption>{caption}</figcaption>'
        f'<img width="{target.shape[-1]}" height="{target.shape[-2]}" decoding="sync"{source}'
        f"{pictures.rendering(target)}>"
        f'<div class="scale"><span>0</span><i></i><span>{"≥ " * (kind == "error")}{white:g}</span></div></figure>'
    )


def _table(section: Section) -> str:
    if not section.rows:
        return ""
    best = {max(row.psnr for row in section.rows), max(row.ssim for row in section.rows)}

    def cell(value: float, text: str) -> str:
        return f'<td class="best">{text}</td>' if value in best else f"<td>{text}</td>"

    lines = [
        f'<tr><th scope="row">{escape(row.method)}</th>{cell(row.psnr, f"{row.psnr:.2f}")}'
        f"{cell(row.ssim, f'{row.ssim:.4f}')}<td>{row.steps}</td><td>{_seconds(row.seconds_per_step)}</td>"
        f"<td>{_seconds(row.steps * row.seconds_per_step)}</td></tr>"
        for row in section.rows
    ]
    names = ("PSNR (dB)", "SSIM", "Steps", "Seconds per step", "Seconds")
    heads = '<th scope="col">Method</th>' + "".join(f'<th scope="col">{name}</th>' for name in names)
    return (
        f'<div class="rows"><table><caption class="unseen">{escape(section.title)}: quality and time</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _seconds(value: float) -> str:
    return f"{value:#.3g}".rstrip(".")


def _data(section: Section, white: float, drawing: chart.Chart) -> dict[str, Any]:
    """What the script needs: the frames of the walk, then those of the rivals."""
    walk = section.walk

    def frame(picture: Tensor, psnr: float) -> dict[str, Any]:
        error = pictures.data_uri(pictures.error(picture, section.target, white))
        return {"picture": pictures.data_uri(picture), "error": error, "psnr": f"{psnr:.2f} dB"}

    return {
        "method": walk.method,
        "frames": [frame(*pair) for pair in zip(walk.estimates, walk.psnr, strict=True)],
        "rivals": [frame(rival.picture, rival.psnr) | {"name": rival.name} for rival in section.rivals],
        "points": drawing.points,
    }


def _json(data: dict[str, Any]) -> str:
    """JSON that cannot end the script element it stands in."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
