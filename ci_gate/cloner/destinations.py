"""Where each project goes: below the workspace by its name, or where a clone map says.

A map is YAML, ``clonemap: [{name: REGEX, dest: TEMPLATE}, …]``. Whatever is wrong with it is told before anything is
cloned. The only module of the cloner that needs PyYAML, and only when there is a map.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ci_gate.cloner.errors import ClonerError


@dataclass(frozen=True, slots=True)
class MapEntry:
    """Projects whose whole name matches go to ``dest``, with groups of the match filled in."""

    name: re.Pattern[str]
    dest: str


@dataclass(frozen=True, slots=True)
class Destination:
    project: str
    path: Path

    def is_inside(self, other: Destination) -> bool:
        return self.path != other.path and self.path.is_relative_to(other.path)


def destinations(projects: Sequence[str], workspace: Path, clone_map: Sequence[MapEntry] = ()) -> list[Destination]:
    """One for each project, in the order given, but outer folders before inner ones. Raises ClonerError."""
    taken: dict[Path, str] = {}
    for project in projects:
        path = Path(os.path.normpath(workspace.absolute() / _mapped(project, clone_map)))
        if path in taken:
            raise ClonerError(f"{taken[path]} and {project} would both go to {path}: change the clone map")
        taken[path] = project
    given = [Destination(project, path) for path, project in taken.items()]
    ordered: list[Destination] = []
    for each in given:
        around = [other for other in given if each.is_inside(other)]
        ordered += [one for one in (*sorted(around, key=lambda one: one.path), each) if one not in ordered]
    return ordered


def _mapped(project: str, clone_map: Sequence[MapEntry]) -> str:
    found = [(entry, match) for entry in clone_map if (match := entry.name.fullmatch(project))]
    if not found:
        return project
    if len(found) > 1:
        names = " and ".join(repr(entry.name.pattern) for entry, _ in found)
        raise ClonerError(f"{project} matches more than one entry of the clone map, {names}: narrow one of them")
    entry, match = found[0]
    try:
        return match.expand(entry.dest)
    except (re.error, IndexError) as problem:
        raise ClonerError(f"clone map: dest {entry.dest!r} does not fit {entry.name.pattern!r}: {problem}") from problem


def read_map(file: Path) -> list[MapEntry]:
    """Raises ClonerError, naming the entry that is wrong."""
    try:
        import yaml  # noqa: PLC0415 - workers without a clone map need no PyYAML
    except ImportError as problem:
        raise ClonerError(f"a clone map needs PyYAML: {problem}; install python3-yaml or PyYAML") from problem
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as problem:
        raise ClonerError(f"cannot read the clone map {file}: {problem.strerror}") from problem
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        raise ClonerError(f"the clone map {file} is no YAML: {problem}") from problem
    entries = content.get("clonemap") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise ClonerError(f"the clone map {file} must be 'clonemap:' with a list of entries 'name' and 'dest'")
    return [_entry(each, f"entry {number} of the clone map {file}") for number, each in enumerate(entries, 1)]


def _entry(given: object, where: str) -> MapEntry:
    if not isinstance(given, dict) or not all(isinstance(given.get(key), str) for key in ("name", "dest")):
        raise ClonerError(f"{where} must have 'name', a regular expression, and 'dest', a path")
    try:
        return MapEntry(re.compile(given["name"]), given["dest"])
    except re.error as problem:
        raise ClonerError(f"{where}: {given['name']!r} is no regular expression: {problem}") from problem
