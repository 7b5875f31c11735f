"""May the account vote as the layout wants? Found out by reading only (gerrit-wire.md 6.3 and 9).

Gerrit tells a plain account what it may vote only over REST, in ``permitted_labels`` of a change: ``check.access`` and
``refs/meta/config`` are for administrators, and SSH has nothing like it. Over SSH there is to see which labels there
are, and that the account has voted before: the one can prove it wrong, neither can prove it right.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ci_gate.doctor.check import Finding, Step, UnansweredError, counted, good, some, unknown, wrong
from ci_gate.doctor.gerrit import Gerrit
from ci_gate.doctor.gerrit_ssh import SshGerrit
from ci_gate.doctor.web import records
from ci_gate.gerrit.events import JsonObject
from ci_gate.gerrit.query import SAFE_VALUE
from ci_gate.model.labels import normal_label

IN_TIME_S = 7.0
IN_ONE_QUERY = 40
MOST_CHANGES = 200

Votes = Mapping[str, Mapping[str, set[int]]]
"""By project and label (in its normal form): the values that are wanted."""


def steps(gerrit: Gerrit) -> Iterator[Step]:
    yield Step(gerrit.group, "votes", lambda: _votes(gerrit), ("account", "This machine/layout"))
    yield Step(gerrit.group, "submit", lambda: _submit(gerrit), ("account", "This machine/layout"))


@dataclass(slots=True)
class _Seen:
    """``refused``: a line for each vote that may not be given. ``open``: projects of which nothing could be seen."""

    refused: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)


async def _submit(gerrit: Gerrit) -> Finding | None:
    if not gerrit.site.submits(gerrit.given.name):
        return None
    return unknown(
        f"whether {gerrit.reporter} may submit cannot be checked without submitting",
        "look in Gerrit: Submit on refs/heads/* for a group of the account",
    )


async def _votes(gerrit: Gerrit) -> Finding:
    try:
        visible = set(await gerrit.visible())
    except UnansweredError as problem:
        return unknown(f"Gerrit does not list its projects: {problem}")
    wanted = {name: votes for name, votes in gerrit.site.votes(gerrit.given.name).items() if name in visible}
    if not wanted:
        return good("the layout gives no votes in projects that are there")
    if isinstance(gerrit, SshGerrit) and gerrit.given.password is None:
        return await _by_ssh(gerrit, wanted)
    return await _by_rest(gerrit, wanted)


# --- over REST ---


async def _by_rest(gerrit: Gerrit, wanted: Votes) -> Finding:
    seen = _Seen()
    trouble: list[UnansweredError] = []

    async def look(project: str) -> None:
        if trouble:
            return
        query = (("q", f'project:"{project}" status:open'), ("n", 1), ("o", "DETAILED_LABELS"))
        try:
            changes = records(await gerrit.web.ask("changes/", query))
        except UnansweredError as problem:
            trouble.append(problem)
            return
        _compare(project, wanted[project], changes, seen)
        left.discard(project)

    left = set(wanted)
    tasks = [asyncio.create_task(look(each)) for each in wanted]
    _, late = await asyncio.wait(tasks, timeout=IN_TIME_S)
    for task in late:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    if trouble:
        return unknown(
            f"cannot be checked: {trouble[0]}",
            "put baseurl and password right, or look into Gerrit's access rights by hand",
        )
    seen.unseen = sorted(left | set(seen.unseen))
    return _judged(gerrit, wanted, seen, "without an open change to be read from")


def _compare(project: str, wanted: Mapping[str, set[int]], changes: list[JsonObject], seen: _Seen) -> None:
    change = changes[0] if changes else {}
    permitted = change.get("permitted_labels")
    if not isinstance(permitted, dict):
        seen.unseen.append(project)
        return
    allowed = {normal_label(name): {int(each) for each in values} for name, values in permitted.items()}
    existing = {normal_label(name) for name in change.get("labels") or ()}
    for label, values in wanted.items():
        lacking = sorted(values - {0} - allowed.get(label, set()))
        if lacking:
            why = "" if label in existing else " (there is no such label)"
            seen.refused.append(f"{project}: {label} {' '.join(f'{each:+d}' for each in lacking)}{why}")


def _judged(gerrit: Gerrit, wanted: Votes, seen: _Seen, why_unseen: str) -> Finding:
    user = gerrit.reporter
    if seen.refused:
        return wrong(
            f"{user} may not vote as the layout wants: {some(seen.refused)}",
            f"in Gerrit (the project or All-Projects): Label … on refs/heads/* for a group of {user}, with that range",
            items=seen.refused,
        )
    if seen.unseen:
        seen_of = f"{len(wanted) - len(seen.unseen)} of {counted(len(wanted), 'project')}"
        return unknown(
            f"votes are permitted as far as can be seen, in {seen_of}; {why_unseen}: {some(seen.unseen)}",
            "run it again when there are open changes",
            items=seen.unseen,
        )
    return good(f"{user} may vote as the layout wants in {counted(len(wanted), 'project')}")


# --- over SSH ---


async def _by_ssh(gerrit: SshGerrit, wanted: Votes) -> Finding:
    try:
        async with asyncio.timeout(IN_TIME_S):
            everywhere = await _labels_of_all_projects(gerrit)
            labels = await _labels_of_changes(gerrit, [each for each in wanted if SAFE_VALUE.fullmatch(each)])
            given = await _given_before(gerrit, wanted)
    except (UnansweredError, TimeoutError) as problem:
        return unknown(f"cannot be checked: {str(problem) or 'Gerrit takes too long to answer'}")
    missing = [
        f"{project}: {label}"
        for project, votes in wanted.items()
        for label in votes
        if project in labels and label not in labels[project] | everywhere
    ]
    if missing:
        return wrong(
            f"Gerrit has no such label, and drops votes on it without a word: {some(missing)}",
            "correct the label's name in the layout, or define it in Gerrit's project or in All-Projects",
            items=missing,
        )
    before = f"; {gerrit.given.user} has given {some(given)} somewhere before" if given else ""
    return unknown(
        f"whether {gerrit.given.user} may vote cannot be checked with SSH only{before}",
        "set password to the account's HTTP password to have it checked, or look in Gerrit: Label … on refs/heads/*",
    )


async def _labels_of_all_projects(gerrit: SshGerrit) -> set[str]:
    """``gerrit review`` has an option for each of them."""
    told = await gerrit.result_of("gerrit review --help")
    words = (told.stdout + told.stderr).replace("[", " ").split()
    return {each.removeprefix("--") for each in words if each.startswith("--")}


async def _labels_of_changes(gerrit: SshGerrit, projects: list[str]) -> dict[str, set[str]]:
    """Of projects with an open change: a change's submit records name its labels."""
    found: dict[str, set[str]] = {}
    for first in range(0, len(projects), IN_ONE_QUERY):
        some_projects = projects[first : first + IN_ONE_QUERY]
        among = " OR ".join(f"project:{{{each}}}" for each in some_projects)
        terms = f"({among}) status:open limit:{MOST_CHANGES}"
        for record in await _records(gerrit, f"--submit-records '{terms}'"):
            labels = {
                normal_label(str(label.get("label")))
                for each in record.get("submitRecords") or ()
                for label in each.get("labels") or ()
            }
            if labels:
                found.setdefault(str(record.get("project")), set()).update(labels)
    return found


async def _given_before(gerrit: SshGerrit, wanted: Votes) -> list[str]:
    votes = sorted({(label, value) for votes in wanted.values() for label, values in votes.items() for value in values})
    given = []
    for label, value in votes:
        if value and SAFE_VALUE.fullmatch(label) and SAFE_VALUE.fullmatch(gerrit.given.user):
            terms = f"label:{label}={value:+d},user={gerrit.given.user} limit:1"
            if await _records(gerrit, f"'{terms}'"):
                given.append(f"{label} {value:+d}")
    return given


async def _records(gerrit: SshGerrit, query: str) -> list[JsonObject]:
    """Changes only; none where Gerrit does not know an operator. Raises UnansweredError."""
    lines = (await gerrit.run(f"gerrit query --format JSON {query}")).split("\n")
    try:
        found = [json.loads(each) for each in lines if each.strip()]
    except ValueError as problem:
        raise UnansweredError(f"what it answers is not JSON: {problem}") from problem
    return [each for each in records(found) if "number" in each]
