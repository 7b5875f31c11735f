"""Jobs as commands, and what a build's parameters mean for one. Pure.

Parameters come over Gearman, which asks nobody for a password: what a path or the environment is made of is checked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

JOB = re.compile(r"[^:=\x00-\x1f\x7f]+")
VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
RESERVED = re.compile(r"(PATH|HOME|SHELL|ENV|IFS|PS4|TMPDIR|USER|LOGNAME|BASH_.*|LD_.*|GIT_.*|PYTHON.*|PERL.*|RUBY.*)")
STEP = re.compile(r"[A-Za-z0-9_][^/\x00-\x1f\x7f]*")
NO_COMMIT = re.compile(r"0{40}")
SAFE_URL = re.compile(r"(https?|git|ssh|file)://[^\s-]\S*")


class CommandError(Exception):
    """A ``--job`` that cannot be used, or parameters that make no build; the text says why."""


@dataclass(frozen=True, slots=True)
class JobCommand:
    """``command`` is text for ``/bin/sh``."""

    name: str
    command: str


@dataclass(frozen=True, slots=True)
class Checkout:
    """What to fetch from where; ``commit`` None: whatever the ref is."""

    url: str
    ref: str
    commit: str | None


def job_command(text: str) -> JobCommand:
    """From ``NAME=command``. Raises CommandError."""
    name, equals, command = text.partition("=")
    if not equals or not command.strip() or JOB.fullmatch(name.strip()) is None:
        raise CommandError(f'--job "{text}": write NAME=COMMAND, as in unit="make test"; no colons in the name')
    return JobCommand(name.strip(), command.strip())


def parameters_of(arguments: bytes) -> dict[str, str]:
    """Raises CommandError for what is no flat JSON object (gearman-jenkins.md 3)."""
    try:
        values = json.loads(arguments or b"{}")
    except (ValueError, RecursionError) as problem:
        raise CommandError(f"the parameters are not JSON: {problem}") from problem
    if not isinstance(values, dict) or any(isinstance(each, dict | list) for each in values.values()):
        raise CommandError("the parameters are not a flat JSON object")
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in values.items()
        if value is not None
    }


def environment_of(parameters: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """Our own, with those parameters that cannot change which programs run."""
    told = {
        name: value
        for name, value in parameters.items()
        if VARIABLE.fullmatch(name) and not RESERVED.fullmatch(name) and "\0" not in value
    }
    return {**own, **told}


def log_path_of(parameters: Mapping[str, str], name: str, unique: str) -> PurePosixPath:
    """Below the folder of logs: ``LOG_PATH``, so that ``url_pattern`` finds it. Raises CommandError."""
    path = parameters.get("LOG_PATH") or f"{name}/{unique[:7]}"
    steps = path.split("/")
    if any(STEP.fullmatch(step) is None for step in steps):
        raise CommandError(f"LOG_PATH {path!r} does not lead to a place below the logs")
    return PurePosixPath(*steps)


def checkout_of(parameters: Mapping[str, str]) -> Checkout | None:
    """None: there is nothing to fetch, as for a deleted branch. Raises CommandError."""
    url, project = parameters.get("ZUUL_URL"), parameters.get("ZUUL_PROJECT")
    commit = parameters.get("ZUUL_COMMIT")
    if not url or not project or (commit and NO_COMMIT.fullmatch(commit)):
        return None
    whole = f"{url.rstrip('/')}/{project}"
    ref = parameters.get("ZUUL_REF") or "HEAD"
    if SAFE_URL.fullmatch(whole) is None or ref.startswith("-") or (commit or "").startswith("-"):
        raise CommandError(f"cannot fetch {ref!r} of {whole!r}")
    return Checkout(whole, ref, commit or None)
