"""Logs: structlog over ``logging``, to standard error or as the operator's ``log_config`` says (ci-conf.md 8).

Without a file: one line an event, readable by a person, from INFO up. With one, its handlers and levels decide; the
logger names of Zuul's files (``zuul.Scheduler``, ``gerrit.GerritWatcher`` …) are the ones that we use.
"""

from __future__ import annotations

import logging
import logging.config
import sys
from pathlib import Path

import structlog

from ci_gate.config.log_file import read_log_file

NOISY = {"paramiko": logging.WARNING, "gear": logging.WARNING, "asyncio": logging.WARNING, "aiohttp": logging.WARNING}


class LogConfigError(Exception):
    """The logging configuration cannot be used; the text says why, for the operator."""


def set_up_logging(log_config: Path | None, *, level: int = logging.INFO) -> None:
    """May be called again, for a reload. Raises LogConfigError; the old set-up then stays."""
    if log_config is None:
        _log_to_stderr(level)
    else:
        _apply(log_config)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            _one_line,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def _log_to_stderr(level: int) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name, at_least in NOISY.items():
        logging.getLogger(name).setLevel(at_least)


def _apply(log_config: Path) -> None:
    if not log_config.is_file():
        raise LogConfigError(f"{log_config}: there is no such logging configuration")
    try:
        # Loggers that the file does not name stay enabled: ours would fall silent otherwise.
        logging.config.fileConfig(read_log_file(log_config), disable_existing_loggers=False)
    except Exception as problem:  # it holds Python expressions of the operator's
        reason = " ".join(str(problem).split())
        raise LogConfigError(f"{log_config}: not a logging configuration: {reason}") from problem


def _one_line(_: object, __: str, event: structlog.typing.EventDict) -> str:
    """``text key=value …``; values with blanks are quoted, a traceback follows on lines of its own."""
    text = str(event.pop("event"))
    traceback = event.pop("exception", None)
    fields = "".join(f" {key}={_value(value)}" for key, value in event.items() if value is not None)
    return f"{text}{fields}" + (f"\n{traceback}" if traceback else "")


def _value(value: object) -> str:
    text = str(value)
    if text and not any(each.isspace() or each in '"=' for each in text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
