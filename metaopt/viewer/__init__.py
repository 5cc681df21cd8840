"""Show the steps of a run on pages for any browser, and in figures."""

from .airway_page import write_airway_page
from .page import write_page
from .section import Baseline, Iterates, Row, Section
from .strips import save_strips

__all__ = ["Baseline", "Iterates", "Row", "Section", "save_strips", "write_airway_page", "write_page"]
