"""Pages for any browser, and figures, which show the steps of a run."""

from .page import write_page
from .section import Baseline, Iterates, Row, Section
from .strips import save_strips

__all__ = ["Baseline", "Iterates", "Row", "Section", "save_strips", "write_page"]
