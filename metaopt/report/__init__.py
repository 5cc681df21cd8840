"""What a run shows its reader: a page to open in any browser."""

from metaopt.report.strips import save_strips
from metaopt.report.viewer import Rival, Row, Section, Walk, write_page

__all__ = ["Rival", "Row", "Section", "Walk", "save_strips", "write_page"]
