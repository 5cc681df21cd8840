"""What was read by eye from the airways of a real chest CT, which has no reference to be measured against.

The CT are the 248 slices of ct/chest_full; ``real_generations`` is the deepest generation that its tree reaches without
a leak, here in the upper lobes. None: not read yet.
"""

from __future__ import annotations

REAL_GENERATIONS: int | None = 8
