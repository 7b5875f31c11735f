"""``python -m ci_gate``: the same as the ``ci-gate`` command."""

import sys

from ci_gate.cli.main import main

sys.exit(main())
