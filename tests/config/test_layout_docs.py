"""docs/layout.md has a row for every key of the tables that read layouts, in their words, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ci_gate.config.layout import load
from ci_gate.config.layout.fields import Table
from ci_gate.config.layout.schema import TABLES
from ci_gate.model.build import Precedence

TEXT = (Path(__file__).parent.parent.parent / "docs" / "layout.md").read_text(encoding="utf-8")
CODE = re.compile(r'(?:report\(\s*|yield )"([a-z-]+)", ')


def rows(table: Table) -> list[str]:
    return [f"| `{key.name}` | {key.kind.described} | {default(key)} | {key.help} |" for key in table.keys]


def default(key) -> str:
    if key.required:
        return "**required**"
    match key.default:
        case bool():
            return f"`{str(key.default).lower()}`"
        case Precedence() | str() if key.default and "\n" not in key.default:
            return f"`{key.default}`"
        case int() if key.default:
            return f"`{key.default}`"
        case _:
            return "–"


@pytest.mark.parametrize("table", TABLES, ids=[each.what for each in TABLES])
def test_a_table_of_keys_is_documented_as_it_is(table):
    wanted = "\n".join(rows(table))
    assert wanted in TEXT, f"docs/layout.md lacks, for {table.what}:\n{wanted}"


def test_no_key_is_documented_that_does_not_exist():
    known = {row for table in TABLES for row in rows(table)}
    documented = {line for line in TEXT.splitlines() if line.startswith("| `") and line.count(" | ") == 3}
    assert documented <= known, documented - known


def test_every_code_is_documented():
    sources = Path(load.__file__).parent.glob("*.py")
    codes = {code for path in sources for code in CODE.findall(path.read_text(encoding="utf-8"))}
    table = TEXT.partition("## What validate says")[2]
    cells = [row.partition(" | ")[0] for row in table.splitlines()]
    documented = {code for cell in cells for code in re.findall("`([a-z][a-z-]+)`", cell)}
    assert codes | {"yaml"} == documented
