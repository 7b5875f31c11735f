"""A site's zuul.conf as ci.conf: what stays, what is left out, what is to be done (``ci-gate migrate zuul``)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ci_gate.config import settings_schema as schema
from ci_gate.config.ini import Ini, Section, parse
from ci_gate.config.problems import Level
from ci_gate.config.read_settings import known_keys, read_settings
from ci_gate.config.settings import Settings
from ci_gate.config.values import TRUE

FIELD = re.compile(r"%\(([^)]*)\)s")
NO_EFFECT = {("zuul", "pidfile"), ("merger", "pidfile"), ("zuul", "push_change_refs")}
TOLD_OTHERWISE = re.compile(r"unknown|moved to|push_change_refs|^\[(launcher|site |node |jenkins\])")
MOVED = ("git_dir", "git_user_email", "git_user_name", "zuul_url")
HEAD = "# Made by ci-gate migrate zuul from {name}. docs/ci-conf.md explains every key.\n"


class MigrationError(Exception):
    """The new file would not mean the same; the text says where."""


@dataclass(frozen=True, slots=True)
class Migration:
    """``text`` is the new file; the lists are lines for people."""

    settings: Settings
    text: str
    same: tuple[str, ...]
    ignored: tuple[str, ...]
    to_do: tuple[str, ...]


def migrated(path: Path) -> Migration:
    """Raises RefusedError for a file that the service would not start with, MigrationError."""
    settings, problems = read_settings(path)
    ini = parse(path.read_text(encoding="utf-8-sig"), str(path))
    kept, left_out = _sorted_out(ini)
    text = HEAD.format(name=path.name) + "".join(_written(kept))
    ignored = [*left_out, *(each.text for each in problems if each.level is Level.NOTICE and "unknown" in each.text)]
    said = [each.text for each in problems if not TOLD_OTHERWISE.search(each.text)]
    return Migration(
        settings,
        text,
        same=tuple(f"[{section}] {' '.join(values)}" for section, values in kept.items() if values),
        ignored=tuple(dict.fromkeys(ignored)),
        to_do=tuple(dict.fromkeys([*said, *_to_do(ini, settings)])),
    )


def check_same(migration: Migration, written: Path) -> None:
    """Read the new file as the service will. Raises RefusedError, or MigrationError if it means another thing."""
    again, _ = read_settings(written)
    wanted = migration.settings
    if replace(again, path=wanted.path, pidfile=wanted.pidfile) != wanted:
        names = [name for name in Settings.__dataclass_fields__ if name not in {"path", "pidfile"}]
        other = [name for name in names if getattr(again, name) != getattr(wanted, name)]
        raise MigrationError(f"{written} would not mean the same: {', '.join(other)}")


def _sorted_out(ini: Ini) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Sections with their keys as they are to be written, and what is left out with the reason."""
    kept: dict[str, dict[str, str]] = {}
    left_out: list[str] = []
    for section in ini.sections.values():
        keys = known_keys(ini, section.name)
        if keys is None:
            if section.name == "jenkins" or section.name.startswith(schema.TOLERATED):
                left_out.append(f"[{section.name}]: of zuul-launcher or Zuul 1, nothing reads it")
            continue
        for key, text in _values(ini, section, keys):
            if (section.name, key) in NO_EFFECT:
                left_out.append(f"[{section.name}] {key}: it has no effect any more")
                continue
            moves = section.name == "zuul" and key in MOVED
            if moves and ini.get("merger", key) is not None:
                left_out.append(f"[zuul] {key}: [merger] has it too")
                continue
            kept.setdefault("merger" if moves else section.name, {})[key] = text
    return kept, left_out


def _values(ini: Ini, section: Section, keys: Mapping[str, schema.Key]) -> Iterator[tuple[str, str]]:
    """Known ones, those of [DEFAULT] among them."""
    for key in keys:
        value = ini.get(section.name, key)
        if value is not None:
            yield key, value.text


def _written(kept: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    for section, values in kept.items():
        yield f"\n[{section}]\n"
        for key, text in values.items():
            escaped = text.replace("%", "%%") if FIELD.search(text) else text
            yield f"{key}={escaped.replace(chr(10), chr(10) + '    ')}\n"


def _to_do(ini: Ini, settings: Settings) -> Iterator[str]:
    yield "wait until zuul's queues are empty, then stop it: what it saved of its queues is not read"
    if settings.gearman_server.start:
        yield "workers connect to the new service by themselves: it listens where zuul's job server did"
    if settings.merger.embedded:
        yield "stop zuul-merger: the service merges itself; [merger] embedded=false keeps separate mergers"
        port = settings.web.port
        yield (
            f"jobs fetch merged refs from {settings.merger.zuul_url}: let that lead to /p of the service, port {port},"
            " or go on serving git_dir there (docs/operating.md has examples)"
        )
    push = ini.get("zuul", "push_change_refs")
    if push is not None and push.text.lower() in TRUE:
        yield "[zuul] push_change_refs: refs are not pushed to Gerrit; jobs that fetch them there have to use ZUUL_URL"
    if settings.swift is not None:
        yield "[swift]: nothing is uploaded by the service; check that jobs do not need its form signatures"
    yield f"let the account that runs the service own {settings.state_dir} and {settings.merger.git_dir}"
