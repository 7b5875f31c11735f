"""The `gerrit …` commands of the simulated Gerrit that answer once and end: query, review, ls-projects, version.

Called by the SSH side with the words of the command; answers with what goes to standard output and error. Rules and
words: gerrit-wire.md 4 and 6, and the recorded samples of 3.13.0.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

from ci_gate.sandbox.gerrit_json import QueryOptions, line
from ci_gate.sandbox.gerrit_options import UsageError, parse
from ci_gate.sandbox.gerrit_query import answer
from ci_gate.sandbox.gerrit_review import abandon, find, restore, review
from ci_gate.sandbox.gerrit_site import Site
from ci_gate.sandbox.gerrit_submit import submit
from ci_gate.sandbox.gerrit_values import Account, Label, NotFoundError, RefusedError

_NOTIFY = ("NONE", "OWNER", "OWNER_REVIEWERS", "ALL")
_QUERY_FLAGS = {f"--{each.name.replace('_', '-')}": each.name for each in fields(QueryOptions)} | {
    "--no-limit": "no_limit"
}
_QUERY_VALUES = {"--format": "format", "--start": "start", "-S": "start"}
_REVIEW_FLAGS = {"--submit": "submit", "-s": "submit", "--json": "json", "-j": "json"} | {
    f"--{action}": action for action in ("abandon", "restore")
}
_REVIEW_VALUES = {
    spelling: name
    for name in ("message", "label", "project", "branch", "tag", "notify")
    for spelling in (f"--{name}", f"-{name[0]}")
}
_EXCLUSIVE = [
    *((("json", other)) for other in ("message", "submit", "tag", "abandon", "restore", "label", "notify")),
    ("abandon", "restore"),
    ("abandon", "submit"),
]


@dataclass(frozen=True, slots=True)
class Reply:
    """How a command ends."""

    stdout: bytes = b""
    stderr: str = ""
    exit_status: int = 0


def needs_input(words: Sequence[str]) -> bool:
    """Whether the command reads its standard input to the end before it does anything."""
    return words[0] == "review" and any(word in ("--json", "-j") for word in words)


def run(site: Site, account: Account, words: Sequence[str], stdin: bytes = b"") -> Reply:
    """Carry out one command, given without the leading `gerrit`."""
    try:
        match words[0]:
            case "query":
                return _query(site, words[1:])
            case "review":
                return _review(site, account, words[1:], stdin)
            case "ls-projects":
                parse(words[1:], {}, {})
                return Reply("".join(f"{project}\n" for project in site.projects).encode())
            case "version":
                parse(words[1:], {}, {})
                return Reply(f"gerrit version {site.settings.version}\n".encode())
    except (UsageError, NotFoundError) as error:
        return Reply(stderr=f"fatal: {error}\n", exit_status=1)
    return Reply(stderr=f"fatal: gerrit: {words[0]}: not found\n", exit_status=1)


# -- query ---------------------------------------------------------------------------------------


def _query(site: Site, words: Sequence[str]) -> Reply:
    given, arguments = parse(words, _QUERY_VALUES, _QUERY_FLAGS)
    if not arguments:
        raise UsageError('Argument "QUERY" is required')
    values = dict(given)
    if values.get("format", "").upper() != "JSON":
        raise UsageError("the sandbox answers queries in JSON only: give --format json")
    start = values.get("start", "0")
    if not start.isdigit():
        raise UsageError(f'"{start}" is not a valid value for "--start"')
    options = QueryOptions(**{each.name: each.name in values for each in fields(QueryOptions)})
    rows = answer(site, " ".join(arguments), options, start=int(start), limited="no_limit" not in values)
    return Reply(b"".join(map(line, rows)))


# -- review --------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Review:
    """What to do to each patch set that the command names."""

    message: str = ""
    tag: str | None = None
    votes: dict[str, int] = field(default_factory=dict)
    inline_comments: int = 0
    actions: set[str] = field(default_factory=set)


def _review(site: Site, account: Account, words: Sequence[str], stdin: bytes) -> Reply:
    labels = {f"--{label.name.lower()}": label for label in site.settings.labels}
    given, arguments = parse(words, _REVIEW_VALUES | {spelling: spelling for spelling in labels}, _REVIEW_FLAGS)
    values = dict(given)
    for first, second in _EXCLUSIVE:
        if first in values and second in values:
            raise UsageError(f"{first} and {second} actions are mutually exclusive")
    if not arguments:
        raise UsageError('Argument "{COMMIT | CHANGE,PATCHSET}" is required')
    targets = [_target(site, text, values) for text in arguments]
    wanted = _from_json(stdin) if "json" in values else _from_options(given, labels)
    errors = [error for number, patch_set in targets if (error := _apply(site, account, wanted, number, patch_set))]
    if not errors:
        return Reply()
    shown = "".join(f"error: fatal: {error}\n\n" for error in errors)
    return Reply(stderr=f"{shown}fatal: one or more reviews failed; review output above\n", exit_status=1)


def _target(site: Site, text: str, values: Mapping[str, str]) -> tuple[int, int]:
    """Find what `CHANGE,PATCHSET` or a commit's name means; `--project` and `--branch` must fit."""
    if re.fullmatch(r"\d+,\d+", text):
        number, patch_set = map(int, text.split(","))
        find(site, number, patch_set)
        found = [(number, patch_set)]
    elif re.fullmatch(r"[0-9a-f]{4,40}", text):
        found = [
            (change.number, patch_set.number)
            for change in site.changes
            for patch_set in change.patch_sets
            if patch_set.revision.startswith(text)
        ]
    else:
        raise UsageError(f'"{text}" is not a valid patch set')
    fitting = [pair for pair in found if _fits(site, pair[0], values)]
    if found and not fitting:
        raise UsageError("database error")
    if len(fitting) != 1:
        raise UsageError(f'"{text}" {"matches multiple patch sets" if fitting else "no such patch set"}')
    return fitting[0]


def _fits(site: Site, number: int, values: Mapping[str, str]) -> bool:
    change, _ = find(site, number, None)
    return (
        values.get("project", change.project) == change.project and values.get("branch", change.branch) == change.branch
    )


def _from_options(given: Sequence[tuple[str, str]], labels: Mapping[str, Label]) -> _Review:
    wanted = _Review()
    for name, value in given:
        if name in labels:
            label = labels[name]
            vote = _integer(value)
            if vote is None:
                raise UsageError(f'"{value}" is not a valid value for "{name}"')
            if not label.lowest <= vote <= label.highest:
                raise UsageError(f'"{value}" must be in range {label.lowest:+d}..{label.highest:+d} for "{name}"')
            wanted.votes[label.name] = vote
        elif name == "label":
            label_name, equals, text = value.rpartition("=")
            vote = _integer(text)
            if not equals or vote is None:
                raise UsageError(f'"{value}" is not a valid value for "--label"')
            wanted.votes[label_name] = vote
        elif name == "notify" and value not in _NOTIFY:
            raise UsageError(f'"{value}" is not a valid value for "--notify"')
        elif name == "message":
            wanted.message = value
        elif name == "tag":
            wanted.tag = value
        elif name in ("submit", "abandon", "restore"):
            wanted.actions.add(name)
    return wanted


def _from_json(stdin: bytes) -> _Review:
    """Read a ReviewInput; as with the real reader, fields that it has no use for are passed over."""
    try:
        data = json.loads(stdin)
    except ValueError as error:
        raise UsageError(f"Invalid JSON input: {error}") from error
    if not isinstance(data, dict):
        raise UsageError("Invalid JSON input: not an object")
    votes = {str(name): _integer(str(value)) for name, value in (data.get("labels") or {}).items()}
    wrong = [name for name, vote in votes.items() if vote is None]
    if wrong:
        raise UsageError(f"Invalid JSON input: label {wrong[0]}")
    return _Review(
        message=str(data.get("message") or ""),
        tag=data.get("tag"),
        votes={name: vote for name, vote in votes.items() if vote is not None},
        inline_comments=sum(map(len, (data.get("comments") or {}).values())),
    )


def _apply(site: Site, account: Account, wanted: _Review, number: int, patch_set: int) -> str | None:
    """Do it to one patch set; the reason if it was refused. A review stays when the submit after it is refused."""
    try:
        if "abandon" in wanted.actions:
            abandon(site, account, number, wanted.message)
        elif "restore" in wanted.actions:
            restore(site, account, number, wanted.message)
        else:
            review(
                site, account, number, patch_set, message=wanted.message, votes=wanted.votes, tag=wanted.tag,
                inline_comments=wanted.inline_comments,
            )  # fmt: skip
        if "submit" in wanted.actions:
            submit(site, account, number, patch_set)
    except RefusedError as error:
        return str(error)
    return None


def _integer(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[+-]?\d+", text) else None
