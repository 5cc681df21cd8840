"""``python -m metaopt.cli`` is the command ``metaopt``."""

import sys

from .program import main

sys.exit(main())
