"""Logs as an operator reads them (ci-conf.md 8)."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ci_gate.daemon.logs import LogConfigError, set_up_logging

ETC = Path(__file__).parent.parent.parent / "etc"
PROGRAM = """
import sys
from pathlib import Path
import structlog
from ci_gate.daemon.logs import set_up_logging
set_up_logging(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
log = structlog.stdlib.get_logger("zuul.Server")
log.debug("too fine")
log.info("serving", url="http://h/", text='two words "quoted"', nothing=None, lines="a\\nb")
try:
    raise ValueError("broken")
except ValueError:
    log.exception("went wrong", change="1,1")
structlog.stdlib.get_logger("gerrit.GerritWatcher").warning("odd event", kind="x")
"""


def logged(*arguments: str) -> list[str]:
    command = [sys.executable, "-c", PROGRAM, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    assert ended.stdout == ""
    return ended.stderr.splitlines()


@pytest.mark.parametrize("arguments", [[], [str(ETC / "logging.conf")]], ids=["by default", "by the example"])
def test_an_event_is_one_line_that_a_person_can_read(arguments):
    first, second, *traceback, last = logged(*arguments)
    time = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}"
    fields = r'url=http://h/ text="two words \\"quoted\\"" lines="a\\nb"'
    assert re.fullmatch(rf"{time} INFO    zuul\.Server: serving {fields}", first)
    assert re.fullmatch(rf"{time} ERROR   zuul\.Server: went wrong change=1,1", second)
    assert traceback[0] == "Traceback (most recent call last):"
    assert traceback[-1] == "ValueError: broken"
    assert re.fullmatch(rf"{time} WARNING gerrit\.GerritWatcher: odd event kind=x", last)


def test_an_operators_file_decides_level_format_and_place(tmp_path):
    target = tmp_path / "zuul.log"
    config = tmp_path / "logging.conf"
    config.write_text(
        "[loggers]\nkeys=root,zuul\n[handlers]\nkeys=file\n[formatters]\nkeys=short\n"
        "[logger_root]\nlevel=ERROR\nhandlers=file\n"
        "[logger_zuul]\nlevel=DEBUG\nhandlers=file\nqualname=zuul\npropagate=0\n"
        f"[handler_file]\nclass=FileHandler\nformatter=short\nargs=({str(target)!r},)\n"
        "[formatter_short]\nformat=%(levelname)s|%(message)s\n"
    )
    assert logged(str(config)) == []
    lines = target.read_text().splitlines()
    assert lines[0] == "DEBUG|too fine"
    assert not [each for each in lines if "odd event" in each], "the root logger takes errors only"


@pytest.mark.parametrize(
    "text", ["", "loggers: yaml\n", "[loggers]\nkeys=root\n", "[handlers]\nkeys=x\n[formatters]\n"]
)
def test_what_is_no_logging_configuration_is_refused_in_one_line(tmp_path, text):
    config = tmp_path / "logging.conf"
    config.write_text(text)
    before = list(logging.getLogger().handlers)
    with pytest.raises(LogConfigError) as refused:
        set_up_logging(config)
    assert str(refused.value).startswith(f"{config}: not a logging configuration: ")
    assert logging.getLogger().handlers == before


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(LogConfigError, match=r"none\.conf: there is no such logging configuration"):
        set_up_logging(tmp_path / "none.conf")


WHOLE = (
    "[loggers]\nkeys=root\n[handlers]\nkeys=file\n[formatters]\nkeys=\n[logger_root]\nlevel=INFO\nhandlers=file\n"
    "[handler_file]\nclass=CLASS\nargs=ARGS\n"
)


@pytest.mark.parametrize(
    ("class_", "args"), [("FileHandler", "('x',"), ("no.such.Handler", "()"), ("FileHandler", "(1/0,)")]
)
def test_expressions_that_cannot_be_worked_out_are_refused_in_one_line(tmp_path, class_, args):
    config = tmp_path / "logging.conf"
    config.write_text(WHOLE.replace("CLASS", class_).replace("ARGS", args))
    with pytest.raises(LogConfigError) as refused:
        set_up_logging(config)
    assert str(refused.value).startswith(f"{config}: not a logging configuration: ")
    assert "\n" not in str(refused.value)


def test_a_file_that_python_2_read_is_read(tmp_path):
    config, target = tmp_path / "logging.conf", tmp_path / "zuul-100%.log"
    args = f"('{tmp_path}/none/zuul.log',)\nargs=('{target}',) ; of old"
    config.write_text(WHOLE.replace("CLASS", "FileHandler").replace("ARGS", args) + "[logger_root]\nlevel=INFO\n")
    assert logged(str(config)) == []
    assert "odd event" in target.read_text()
