"""docs/ci-conf.md has a row for every key of the tables that read the file, in their words, and no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from ci_gate.config import settings_schema as schema

TEXT = (Path(__file__).parent.parent.parent / "docs" / "ci-conf.md").read_text(encoding="utf-8")
TABLES = {**schema.SECTIONS, **{f"driver {name}": table for name, table in schema.DRIVERS.items()}}
TABLES[schema.JENKINS_SECTION] = schema.JENKINS


def rows(table) -> list[str]:
    return [f"| `{name}` | {kind(key)} | {key.default or '–'} | {key.help} |" for name, key in table.items()]


def kind(key: schema.Key) -> str:
    return " or ".join(key.choices) if key.choices else key.kind


@pytest.mark.parametrize("name", TABLES)
def test_a_section_is_documented_as_it_is(name):
    wanted = "\n".join(rows(TABLES[name]))
    assert wanted in TEXT, f"docs/ci-conf.md lacks, for {name}:\n{wanted}"


def test_no_key_is_documented_that_does_not_exist():
    known = {row for table in TABLES.values() for row in rows(table)}
    documented = {line for line in TEXT.splitlines() if line.startswith("| `") and line.count(" | ") == 3}
    assert documented <= known, documented - known
