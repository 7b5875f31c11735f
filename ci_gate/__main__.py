"""``python -m ci_gate``: the same as the ``ci-gate`` command."""

from ci_gate.cli.main import entry

entry()
