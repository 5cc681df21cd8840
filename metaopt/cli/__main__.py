"""``python -m metaopt.cli`` runs the command ``metaopt``."""

import sys

from .program import main

sys.exit(main())
