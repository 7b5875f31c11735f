"""``python -m ci_gate.cloner``: the same as the ``zuul-cloner`` command."""

import sys

from ci_gate.cloner.main import main

sys.exit(main())
