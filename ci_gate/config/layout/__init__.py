"""``layout.yaml``: a document with positions, tables of keys, and the resolved ``Layout`` that comes out of them.

``load.py`` is the way in. ``schema.py`` has every key; ``fields.py`` reads mappings by it; the other modules each read
one part of the language (``spec/layout.md``) and report to the ``Reader`` what is wrong.
"""

from __future__ import annotations

from ci_gate.config.layout.includes import Functions
from ci_gate.config.layout.load import JobList, LoadedLayout, load_layout

__all__ = ["Functions", "JobList", "LoadedLayout", "load_layout"]
