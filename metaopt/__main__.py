"""``python -m metaopt`` is the command ``metaopt``."""

import sys

from .cli import main

sys.exit(main())
