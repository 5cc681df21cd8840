"""Fill the templates of this folder: one HTML document with its styles, script and data inside."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any


def fill(template: str, styles: Sequence[str], scripts: Sequence[str], parts: Mapping[str, str]) -> str:
    """Return a document that a content security policy forbids to load or run anything but what stands in it.

    Args:
        template: The file in this folder that has ``{{policy}}``, ``{{style}}``, ``{{script}}`` and the parts.
        styles: The style sheets in this folder, which are joined.
        scripts: The scripts in this folder, which are joined.
        parts: What replaces ``{{NAME}}``, by name; HTML.

    Returns:
        The document.
    """
    style, code = ("\n".join(map(_beside, names)).strip() for names in (styles, scripts))
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(code)}; "
        "base-uri 'none'; form-action 'none'"
    )
    filled = {**parts, "policy": policy, "style": style, "script": code}
    return re.sub(r"\{\{(\w+)\}\}", lambda place: filled[place[1]], _beside(template))


def as_json(data: Mapping[str, Any]) -> str:
    """Return JSON that cannot end the script element around it.

    Args:
        data: What JSON can hold.

    Returns:
        The text.
    """
    return json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _beside(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _hash(inline: str) -> str:
    return f"'sha256-{b64encode(sha256(inline.encode()).digest()).decode()}'"
