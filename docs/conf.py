"""How Sphinx builds the documentation: every example is executed, every public name has an entry."""

import sys
from importlib import metadata
from pathlib import Path

from sphinx.application import Sphinx

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import api_pages
import data_sets
import measured
import rooms

project = "metaopt"
author = "The metaopt authors"
copyright = "2026, The metaopt authors"
version = release = metadata.version("metaopt-torch")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "examples"]
templates_path = ["_templates"]
# Before the first example is written there is no gallery for the front page to list. The axes of an annotated tensor,
# as in (D, H, W), are taken for names, of which H is that of two operators' adjoints.
suppress_warnings = ["toc.empty_glob", "ref.python"]

html_theme = "furo"
html_title = f"metaopt {version}"
html_copy_source = False

autosummary_generate = True
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False

# The figures that pages quote, as |name|.
rst_epilog = measured.substitutions()
napoleon_custom_sections = [("Slots", "params_style"), "Source"]

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",  # execute every page, whatever its name
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "show_signature": False,
    "only_warn_on_example_error": False,
}


def setup(app: Sphinx) -> None:
    """Write the pages of the reference before Sphinx looks which pages there are; autosummary then finds them too."""
    app.connect("config-inited", lambda app, config: api_pages.write(Path(app.srcdir) / "generated" / "modules"))
    app.connect("config-inited", lambda app, config: data_sets.write(Path(app.srcdir) / "generated" / "data_sets.inc"))
    app.connect("config-inited", lambda app, config: measured.write(Path(app.srcdir) / "generated" / "measured"))
    app.connect("config-inited", lambda app, config: rooms.write(Path(app.srcdir) / "generated" / "rooms"))
