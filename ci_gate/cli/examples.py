"""Where the example configuration is: beside the package in an installation, in ``etc/`` of a checkout."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parent.parent


def examples_folder() -> Path:
    """The folder with ci.conf, layout.yaml and functions.py."""
    installed = PACKAGE / "examples"
    return installed if installed.is_dir() else PACKAGE.parent / "etc"
