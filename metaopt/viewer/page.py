"""Write a self-contained HTML page that shows a reconstruction step by step."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from torch import Tensor

from ..arguments.contracts import checked
from ..core.errors import MetaoptError
from ..files import make_folder, replacing
from . import chart, document, pictures
from .section import Section


@checked
def write_page(folder: str | os.PathLike[str], sections: Sequence[Section], title: str, intro: str) -> Path:
    """Write ``index.html`` into ``folder``, which is made if needed.

    Styles, script and pictures (lossless PNG) are inside the page, and a content security policy forbids it to load
    anything. It grows by about 0.4 MB for each step of a 512 x 512 picture.

    Args:
        folder: The folder.
        sections: The sections of the page, from top to bottom.
        title: The title.
        intro: Text above the sections; paragraphs are separated by blank lines.

    Returns:
        The path of the file, which appears complete or not at all.

    Raises:
        MetaoptError: There is no section, or the folder cannot be written to.
    """
    if not sections:
        raise MetaoptError("A page needs at least one section; none was given.")
    page = make_folder(Path(folder).resolve()) / "index.html"
    with replacing(page) as file:
        file.write(_page(sections, title, intro).encode())
    return page


def _page(sections: Sequence[Section], title: str, intro: str) -> str:
    links = [f'<a href="#section-{i}">{escape(section.title)}</a>' for i, section in enumerate(sections, 1)]
    parts = {
        "title": escape(title),
        "intro": _paragraphs(intro),
        "links": " ".join(links) if len(links) > 1 else "",
        "sections": "\n".join(_section(i, section) for i, section in enumerate(sections, 1)),
    }
    return document.fill("page.html", ("page.css",), ("page.js",), parts)


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{escape(paragraph.strip())}</p>" for paragraph in text.split("\n\n") if paragraph.strip())


def _section(number: int, section: Section) -> str:
    iterates, steps = section.iterates, len(section.iterates.estimates) - 1
    white = pictures.error_scale(iterates.estimates[iterates.trained_steps], section.target)
    drawing = chart.draw(iterates, section.baselines)
    names = [iterates.method, *(baseline.name for baseline in section.baselines)]
    return f"""<section class="problem" id="section-{number}" aria-labelledby="title-{number}">
<h2 id="title-{number}">{escape(section.title)}</h2>
<div class="about"><div>{_paragraphs(section.text)}</div>{_given(section.given)}</div>
<div class="controls">
<button type="button" class="play">Play</button>
<label for="step-{number}">step t</label>
<input type="range" id="step-{number}" class="step" min="0" max="{steps}" step="1" value="{iterates.trained_steps}">
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
<script type="application/json" class="data">{document.as_json(_data(section, white, drawing))}</script>
</section>"""


def _given(given: Mapping[str, Tensor]) -> str:
    figures = [
        f'<figure><img src="{pictures.data_uri(picture)}" alt="{escape(name)}"{pictures.rendering(picture)}>'
        f"<figcaption>{escape(name)}</figcaption></figure>"
        for name, picture in given.items()
    ]
    return f'<div class="given">{"".join(figures)}</div>' if figures else ""


def _choice(number: int, names: Sequence[str]) -> str:
    """Return the switch between the estimates of the network and of the baselines."""
    if len(names) < 2:
        return ""
    options = [
        f'<label><input type="radio" name="method-{number}" value="{i}"{" checked" * (i == 0)}>'
        f"<span>{escape(name)}</span></label>"
        for i, name in enumerate(names)
    ]
    return f'<fieldset class="choice"><legend>Estimate of</legend>{"".join(options)}</fieldset>'


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
    """Return what the script needs: the frames of the iterates, then those of the baselines."""
    iterates = section.iterates

    def frame(picture: Tensor, psnr: float) -> dict[str, Any]:
        error = pictures.data_uri(pictures.error(picture, section.target, white))
        return {"picture": pictures.data_uri(picture), "error": error, "psnr": f"{psnr:.2f} dB"}

    return {
        "method": iterates.method,
        "frames": [frame(*pair) for pair in zip(iterates.estimates, iterates.psnr, strict=True)],
        "baselines": [
            frame(baseline.picture, baseline.psnr) | {"name": baseline.name} for baseline in section.baselines
        ],
        "points": drawing.points,
    }
