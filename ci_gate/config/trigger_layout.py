"""Jobs of the Gerrit Trigger plugin as a layout that starts the same builds (``ci-gate migrate gerrit-trigger``)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from ci_gate.config.gerrit_trigger import Event, Pattern, ProjectTrigger, TriggerJob

REF_UPDATED = "ref-updated"
HEADS = "(refs/heads/)?"
NAMES = {"patchset-created": "check", "change-merged": "merged", REF_UPDATED: "post", "comment-added": "comment"}
UNFIT = re.compile(r"[:\x00-\x1f\x7f]")

Votes = tuple[tuple[str, str, int], ...]


@dataclass(frozen=True, slots=True)
class TriggerLayout:
    """``notes``: what has no equivalent, by job."""

    text: str
    notes: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Kind:
    """What makes a pipeline: jobs that agree in it share one. ``branches`` where a job's projects differ in theirs."""

    events: tuple[Event, ...]
    votes: Votes
    silent: bool
    silent_start: bool
    branches: tuple[str, ...] = ()


@dataclass(slots=True)
class _Draft:
    pipelines: dict[_Kind, str] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    # project, pipeline, jobs
    projects: dict[str, dict[str, list[str]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    notes: list[tuple[str, str]] = field(default_factory=list)


def layout_of(jobs: Iterable[TriggerJob], projects: Collection[str] = ()) -> TriggerLayout:
    """``projects`` are Gerrit's, for jobs that name theirs by patterns: a layout names each."""
    draft = _Draft()
    by_name = {each.name: each for each in sorted(jobs, key=lambda each: each.name)}
    for job in by_name.values():
        draft.notes += [(job.name, note) for note in job.notes]
        if UNFIT.search(job.name):
            draft.notes.append((job.name, "left out: a job's name holds no colon"))
        else:
            _add(draft, job, projects)
    document = {
        "pipelines": [_pipeline(kind, name) for kind, name in draft.pipelines.items()],
        "jobs": [{"name": name, **values} for name, values in draft.jobs.items() if values],
        "projects": [
            {"name": project, **{name: _tree(names, by_name, draft) for name, names in pipelines.items()}}
            for project, pipelines in sorted(draft.projects.items())
        ],
    }
    document = {key: value for key, value in document.items() if value or key != "jobs"}
    return TriggerLayout(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120), tuple(draft.notes))


def _add(draft: _Draft, job: TriggerJob, known: Collection[str]) -> None:
    if not job.events:
        draft.notes.append((job.name, "left out: no event starts it"))
        return
    both = any(each.name == REF_UPDATED for each in job.events)
    branches = {_regexes(each.branches, HEADS if both else "") for each in job.projects}
    files = {_regexes(each.files) for each in job.projects}
    values = draft.jobs.setdefault(job.name, {})
    if len(branches) == 1 and (only := next(iter(branches))):
        values["branch"] = list(only)
    if len(files) == 1 and (only := next(iter(files))):
        values["files"] = list(only)
    elif len(files) > 1:
        draft.notes.append((job.name, "file paths that differ between its projects: it runs whatever the files are"))
    for entry in job.projects:
        split = _regexes(entry.branches) if len(branches) > 1 else ()
        for kind in _kinds(job, split):
            pipeline = draft.pipelines.setdefault(kind, _free_name(kind, draft.pipelines.values()))
            for project in _names_of(draft, job, entry, known):
                draft.projects[project][pipeline].append(job.name)


def _kinds(job: TriggerJob, branches: tuple[str, ...]) -> Iterable[_Kind]:
    """Updates of refs apart from changes: they have no review to vote on."""
    silent, start = job.silent, job.silent_start
    changes = tuple(each for each in job.events if each.name != REF_UPDATED)
    updates = tuple(each for each in job.events if each.name == REF_UPDATED)
    if changes:
        yield _Kind(changes, job.votes, silent, start, branches)
    if updates:
        yield _Kind(updates, (), silent=True, silent_start=True, branches=branches)


def _names_of(draft: _Draft, job: TriggerJob, entry: ProjectTrigger, known: Collection[str]) -> Sequence[str]:
    if entry.project.kind == "PLAIN":
        return [entry.project.text]
    try:
        pattern = re.compile(entry.project.regex())
    except re.error as problem:
        draft.notes.append((job.name, f"the project pattern {entry.project.text} cannot be used: {problem}"))
        return []
    names = sorted(name for name in known if pattern.match(name))
    if not names:
        draft.notes.append((job.name, f"no project is known that matches {entry.project.text}: give --projects FILE"))
    return names


def _regexes(patterns: Iterable[Pattern], before: str = "") -> tuple[str, ...]:
    """None at all if everything matches."""
    given = list(patterns)
    if any((each.kind, each.text) in {("ANT", "**"), ("REG_EXP", ".*")} for each in given):
        return ()
    return tuple(each.regex(before) for each in given)


def _free_name(kind: _Kind, taken: Collection[str]) -> str:
    names = [each.name for each in kind.events]
    base = next((NAMES[each] for each in NAMES if each in names), names[0])
    base = f"{base}-silent" if kind.silent and base != "post" else base
    numbered = (base, *(f"{base}-{number}" for number in range(2, len(taken) + 3)))
    return next(each for each in numbered if each not in taken)


def _pipeline(kind: _Kind, name: str) -> dict[str, Any]:
    reject = {state: True for event in kind.events for state in event.reject}
    made: dict[str, Any] = {"name": name, "manager": "IndependentPipelineManager"}
    made["trigger"] = {"gerrit": [_trigger(each, kind.branches) for each in kind.events]}
    if reject:
        made["reject"] = reject
    if kind.silent:
        return made
    for outcome in ("start", "success", "failure"):
        if outcome != "start" or not kind.silent_start:
            made[outcome] = {"gerrit": {label: value for of, label, value in kind.votes if of == outcome}}
    return made


def _trigger(event: Event, branches: tuple[str, ...]) -> dict[str, Any]:
    made: dict[str, Any] = {"event": event.name}
    if event.comment:
        made["comment"] = event.comment
    if event.approval:
        made["approval"] = [{event.approval[0]: event.approval[1]}]
    if branches:
        made["ref" if event.name == REF_UPDATED else "branch"] = [
            each.replace("^", f"^{HEADS}", 1) if event.name == REF_UPDATED else each for each in branches
        ]
    return made


def _tree(names: Sequence[str], jobs: Mapping[str, TriggerJob], draft: _Draft) -> list[Any]:
    """A job that waits for others stands below the first of them that is here."""
    below: dict[str, list[str]] = defaultdict(list)
    top = []
    for name in dict.fromkeys(names):
        parents = [each for each in jobs[name].after if each in names and not _waits_for(each, name, jobs)]
        if parents:
            below[parents[0]].append(name)
            note = f"it runs after {parents[0]}, and only if that succeeds"
            if len(jobs[name].after) > 1:
                note += f"; it does not wait for {', '.join(each for each in jobs[name].after if each != parents[0])}"
            if (name, note) not in draft.notes:
                draft.notes.append((name, note))
        else:
            top.append(name)

    def shown(name: str) -> Any:
        return {name: [shown(each) for each in below[name]]} if below[name] else name

    return [shown(name) for name in top]


def _waits_for(name: str, other: str, jobs: Mapping[str, TriggerJob]) -> bool:
    """Directly or not: two jobs that wait for each other are a mistake of the site's that must not lose both."""
    seen: set[str] = set()
    to_see = [name]
    while to_see:
        each = to_see.pop()
        if each == other:
            return True
        if each not in seen and each in jobs:
            seen.add(each)
            to_see += jobs[each].after
    return False
