"""Pages to open in any browser, and figures: what a run shows its reader."""

from .page import write_page
from .section import Baseline, Iterates, Row, Section
from .strips import save_strips

__all__ = ["Baseline", "Iterates", "Row", "Section", "save_strips", "write_page"]
