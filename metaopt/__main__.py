"""``python -m metaopt`` runs the command ``metaopt``."""

import sys

from .cli import main

sys.exit(main())
