"""The repository's own rules, checked by itself."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "ci_gate").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
PYTHON = [*SOURCES, *TESTS, *sorted((ROOT / "bench").rglob("*.py"))]
LONGEST_FILE = 400
LONGEST_FUNCTION = 60
LONGER_FILES: dict[str, str] = {}
"""Files over the limit, each with its reason."""


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def calls(path: Path) -> set[str]:
    """Dotted names of everything that a file calls."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            found.add(ast.unparse(node.func))
    return found


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_a_file_can_be_read_in_one_sitting(path):
    if relative(path) not in LONGER_FILES:
        length = len(path.read_text().splitlines())
        assert length <= LONGEST_FILE, f"{length} lines"


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_a_function_fits_on_a_screen(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno
            assert length <= LONGEST_FUNCTION, f"{relative(path)}:{node.lineno} {node.name} has {length} lines"


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_a_module_says_what_it_is(path):
    text = path.read_text()
    assert not text.strip() or ast.get_docstring(ast.parse(text)), "a module opens with a docstring"


@pytest.mark.parametrize("folder", ["scheduler", "model"])
def test_what_decides_asks_neither_clock_nor_chance_nor_files(folder):
    banned = re.compile(r"^(time|datetime|random|os|secrets|uuid|socket|subprocess|pathlib)\b|^open$|^Path$")
    for path in (ROOT / "ci_gate" / folder).rglob("*.py"):
        assert not [each for each in calls(path) if banned.search(each)], relative(path)
        assert not re.search(r"^(import|from) (asyncio|threading|logging|structlog)", path.read_text(), re.MULTILINE)


def test_child_processes_are_started_only_where_they_belong():
    allowed = (
        "ci_gate/merger/",
        "ci_gate/web/git",
        "ci_gate/gearman/server",
        "ci_gate/gerrit/proxy",
        "ci_gate/sandbox/",
        "ci_gate/cli/demo",
        "ci_gate/daemon/snapshotting",
        "ci_gate/cloner/",
        "ci_gate/worker/",
    )
    starters = re.compile(r"subprocess\.|create_subprocess|os\.(system|popen|exec|fork|spawn)")
    for path in SOURCES:
        if any(starters.search(each) for each in calls(path)):
            assert relative(path).startswith(allowed), relative(path)


def test_every_suppression_carries_a_reason():
    bare = re.compile(r"#\s*(noqa(?::\s*[A-Z0-9, ]+)?|type:\s*ignore(?:\[[\w, -]+\])?)\s*$")
    for path in PYTHON:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            assert not bare.search(line), f"{relative(path)}:{number} suppresses without a reason"


def test_nothing_speaks_of_one_machine():
    paths = re.compile(r"/root/|/work/|/home/(?!ci)\w+")
    tracked = [each for each in ROOT.rglob("*") if each.is_file() and each.suffix in {".py", ".md", ".conf", ".yaml"}]
    for path in tracked:
        parts = path.relative_to(ROOT).parts
        if parts[0].startswith(".") or path == Path(__file__):
            continue
        assert not paths.search(path.read_text(errors="replace")), relative(path)


WALKTHROUGHS = range(1, 82)


@pytest.mark.parametrize("number", WALKTHROUGHS, ids="W{}".format)
def test_every_worked_example_is_a_test_with_the_same_name(number):
    assert any(name.startswith(f"test_w{number}_") for name in all_tests())


@cache
def all_tests() -> frozenset[str]:
    """Of every test function there is."""
    return frozenset(
        re.findall(r"^(?:async )?def (test_\w+)", "\n".join(path.read_text() for path in TESTS), re.MULTILINE)
    )
