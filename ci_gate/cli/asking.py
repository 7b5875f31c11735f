"""How commands ask the running service: over its admin socket, and what is said when nobody answers."""

from __future__ import annotations

import argparse
import json
import socket
import sys
from pathlib import Path

from ci_gate.cli.problems import print_problems
from ci_gate.config.problems import Level, RefusedError
from ci_gate.config.read_settings import find_settings_file, read_settings

DONE, REFUSED = 0, 1
DEADLINE_S = 90.0  # the service's own is 60 s
FILE_NAME = "admin.sock"


class AskingError(Exception):
    """The service gave no answer; the text says why and what to do."""


def add_config_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", "-c", metavar="FILE", help="the configuration file of the running service")


def ask_and_tell(arguments: argparse.Namespace, command: str, **values: object) -> int:
    """Exit status 0 if it was done, 1 if not; what the service says goes to standard output, or error."""
    try:
        settings, _ = read_settings(find_settings_file(arguments.config))
        done, lines = ask(settings.state_dir / FILE_NAME, {"command": command, **values})
    except RefusedError as refused:
        print_problems([each for each in refused.problems if each.level is Level.ERROR], sys.stderr)
        return REFUSED
    except AskingError as problem:
        print(f"ci-gate {command}: {problem}", file=sys.stderr)
        return REFUSED
    for line in lines:
        print(line, file=sys.stdout if done else sys.stderr)
    return DONE if done else REFUSED


def ask(path: Path, request: dict[str, object]) -> tuple[bool, list[str]]:
    """Was it done, and what there is to say. Raises AskingError."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(DEADLINE_S)
            connection.connect(str(path))
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as answers:
                answer = json.loads(answers.readline())
        return bool(answer["done"]), [str(line) for line in answer["lines"]]
    except (FileNotFoundError, ConnectionRefusedError) as problem:
        advice = "start it, or name its configuration file with --config"
        raise AskingError(f"no service answers at {path}; {advice}") from problem
    except PermissionError as problem:
        raise AskingError(f"{path} is for the service's user and group only; run this as one of them") from problem
    except TimeoutError as problem:
        raise AskingError(f"the service did not answer within {DEADLINE_S:g} s; see its log") from problem
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise AskingError(f"the service's answer cannot be understood: {problem}; see its log") from problem
