"""How the tests of the layout loader write and read layouts."""

from __future__ import annotations

from pathlib import Path

from ci_gate.config.layout import load_layout
from ci_gate.config.problems import Level, RefusedError

CHECK = """pipelines:
  - name: check
    manager: IndependentPipelineManager
    trigger:
      gerrit:
        - event: patchset-created
"""
CONNECTIONS = {"gerrit": "gerrit", "smtp": "smtp", "results": "sql"}


class Layouts:
    """Writes a layout into a folder and loads it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "layout.yaml"

    def load(self, text: str | bytes, **options):
        options = {"connections": CONNECTIONS} | options
        if isinstance(text, bytes):
            self.path.write_bytes(text)
        else:
            self.path.write_text(text, encoding="utf-8")
        return load_layout(self.path, **options)

    def layout(self, text: str, **options):
        return self.load(text, **options).layout

    def problems(self, text: str | bytes, *, notes: bool = False, **options) -> list[str]:
        """``LINE:COLUMN CODE`` of each, in order."""
        return [f"{each.line}:{each.column} {each.code}" for each in self._found(text, notes=notes, **options)]

    def texts(self, text: str | bytes, *, notes: bool = False, **options) -> list[str]:
        return [each.text for each in self._found(text, notes=notes, **options)]

    def _found(self, text, *, notes, **options):
        try:
            found = self.load(text, **options).problems
        except RefusedError as refused:
            found = refused.problems
        return [each for each in found if notes or each.level is not Level.NOTE]
