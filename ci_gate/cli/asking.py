"""How commands ask the running service: over its admin socket, and what is said when nobody answers."""

from __future__ import annotations

import argparse
import json
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ci_gate.cli.problems import print_problems
from ci_gate.config.problems import Level, RefusedError
from ci_gate.config.read_settings import find_settings_file, read_state_settings

DONE, REFUSED = 0, 1
DEADLINE_S = 90.0  # the service's own is 60 s
FILE_NAME = "admin.sock"


class AskingError(Exception):
    """The service gave no answer; the text says why and what to do."""


def add_config_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", "-c", metavar="FILE", help="the configuration file of the running service")


def add_verbose_argument(parser: argparse.ArgumentParser) -> None:
    """Of Zuul's client, for scripts that were written for it (outputs.md 8)."""
    parser.add_argument("-v", action="store_true", help="accepted and ignored: what there is to say is always said")


@dataclass(frozen=True, slots=True)
class Answer:
    """Was it done, what there is to say, and what there is for machines."""

    done: bool
    lines: list[str]
    data: Any = None


def ask_and_tell(arguments: argparse.Namespace, command: str, **values: object) -> int:
    """Exit status 0 if it was done, 1 if not; what the service says goes to standard output, or error."""
    answer = answer_to(arguments, command, **values)
    if answer is None:
        return REFUSED
    for line in answer.lines:
        print(line, file=sys.stdout if answer.done else sys.stderr)
    return DONE if answer.done else REFUSED


def answer_to(arguments: argparse.Namespace, command: str, **values: object) -> Answer | None:
    """What the service answers; None if there is no answer, which is then told on standard error."""
    try:
        settings = read_state_settings(find_settings_file(arguments.config))
        return ask(settings.state_dir / FILE_NAME, {"command": command, **values})
    except RefusedError as refused:
        print_problems([each for each in refused.problems if each.level is Level.ERROR], sys.stderr)
    except AskingError as problem:
        print(f"ci-gate {command}: {problem}", file=sys.stderr)
    return None


def ask(path: Path, request: dict[str, object]) -> Answer:
    """Raises AskingError."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(DEADLINE_S)
            connection.connect(str(path))
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as answers:
                answer = json.loads(answers.readline())
        return Answer(bool(answer["done"]), [str(line) for line in answer["lines"]], answer.get("data"))
    except (FileNotFoundError, ConnectionRefusedError) as problem:
        advice = "start it, or name its configuration file with --config"
        raise AskingError(f"no service answers at {path}; {advice}") from problem
    except PermissionError as problem:
        raise AskingError(f"{path} is for the service's user and group only; run this as one of them") from problem
    except TimeoutError as problem:
        raise AskingError(f"the service did not answer within {DEADLINE_S:g} s; see its log") from problem
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise AskingError(f"the service's answer cannot be understood: {problem}; see its log") from problem
