"""Check and write the files that the commands of airways make: all of them, or none."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ...core import MetaoptError
from ...data.formats.ct_grid import Grid
from ...data.formats.ct_mask import check_mask_name, put_mask
from ...files import check_output, replacing
from ...foundation.extras import require
from ...tasks.airways import AirwayTree
from .table import check_table_name, put_table, tabulate
from .tree_files import check_tree_name, put_tree


@dataclass(frozen=True)
class Outputs:
    """Say which files are written.

    Args:
        mask: The mask, .nii or .nii.gz, or None.
        tree: The tree, .swc, or None.
        table: The table of branches, .csv, or None.
        page: The page that shows the tree, .html, or None.
    """

    mask: Path | None = None
    tree: Path | None = None
    table: Path | None = None
    page: Path | None = None

    @property
    def paths(self) -> list[Path]:
        """The files, in the order of the fields."""
        return [path for path in (self.mask, self.tree, self.table, self.page) if path is not None]

    def check(self, *read: Path) -> None:
        """Check before work begins that the files can be written and are none of those that are read.

        Args:
            read: What is read: files, and folders of files.

        Raises:
            MetaoptError: One of them cannot be written, has the ending of another format, is read, or is given twice.
        """
        if self.mask is not None:
            require("nibabel", "airway")
        if self.page is not None:
            require("PIL", "viewer")
        for path, check in ((self.mask, check_mask_name), (self.tree, check_tree_name), (self.table, check_table_name)):
            if path is not None:
                check(path)
        if self.page is not None and self.page.suffix.lower() not in (".html", ".htm"):
            raise MetaoptError(f"{self.page} does not say that it is a page; end it in .html.")
        files = [file for path in read for file in ([path] if not path.is_dir() else sorted(path.iterdir()))]
        for number, path in enumerate(self.paths):
            check_output(path, *files)
            for other in self.paths[:number]:
                if path == other or path.resolve() == other.resolve():
                    raise MetaoptError(f"{path} is named for two outputs; give each a file of its own.")

    def write(
        self, mask: Tensor | None, tree: AirwayTree, grid: Grid, page: Callable[[Path], object] | None = None
    ) -> None:
        """Write the files; where one of them cannot be written, none is.

        Args:
            mask: (D, H, W) bool; needed where a mask is written.
            tree: The tree.
            grid: The grid of both.
            page: What writes the page, given its path.

        Raises:
            MetaoptError: A file cannot be written.
        """
        with contextlib.ExitStack() as stack:
            if self.mask is not None and mask is not None:
                put_mask(stack.enter_context(replacing(self.mask)), self.mask, mask, grid)
            if self.tree is not None:
                put_tree(stack.enter_context(replacing(self.tree)), tree, grid)
            if self.table is not None:
                put_table(stack.enter_context(replacing(self.table)), tabulate(tree, grid))
            if self.page is not None and page is not None:
                page(self.page)
