"""Every answer of a layout as one JSON document, so that two layouts, or two services, can be compared.

For every project × pipeline × branch, ref or timer × set of changed files: which jobs would run; for sample events:
which pipelines take them; besides pipelines, queues and jobs as the layout resolved them. Sites compare it with what
they had before they switch.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha1
from typing import Any

from ci_gate.config.layout import LoadedLayout
from ci_gate.config.settings import GerritSettings
from ci_gate.gerrit.events import BadLineError, event_of
from ci_gate.model.change import Change, ChangeKey, Periodic, PeriodicKey, RefKey, RefUpdate, Subject
from ci_gate.model.expression import Expression
from ci_gate.model.layout import (
    DEFAULT_MERGE_FAILURE_MESSAGE,
    DEPENDENT,
    GerritReporter,
    Job,
    JobNode,
    Layout,
    Pipeline,
    Reporter,
    SkipIf,
    SmtpReporter,
)
from ci_gate.model.options import SchedulerSettings
from ci_gate.questions.events import Asker, subject_of
from ci_gate.questions.parameters import ParameterAsker, SampleItem, read_sample
from ci_gate.scheduler.jobs import jobs_for

JsonObject = Mapping[str, Any]

SECTIONS = ("pipelines", "queues", "jobs", "cells", "params", "events")
FORMAT = 1
PLACEHOLDER = "@PROJECT@"


@dataclass(frozen=True, slots=True)
class Questions:
    """The axes and events of a cases file. ``targets`` are (kind, branch or ref); ``filesets`` are (name, paths)."""

    targets: tuple[tuple[str, str], ...]
    filesets: tuple[tuple[str, tuple[str, ...]], ...]
    events: tuple[JsonObject, ...] = ()
    event_projects: tuple[str, ...] = ()
    params_targets: tuple[tuple[str, str], ...] = ()
    sample: SampleItem | None = None


def read_questions(document: JsonObject) -> Questions:
    """Raises KeyError or TypeError for what is no cases file."""
    filesets = tuple((name, tuple(paths)) for name, paths in document["filesets"])
    return Questions(
        targets=_targets(document["targets"]),
        filesets=filesets,
        events=tuple(document.get("events", ())),
        event_projects=tuple(document.get("event_projects", ())),
        params_targets=_targets(document.get("params_targets", ())),
        sample=read_sample(document["item"], dict(filesets)) if "item" in document else None,
    )


def _targets(found: Iterable[JsonObject]) -> tuple[tuple[str, str], ...]:
    return tuple((each["kind"], each.get("branch") or each.get("ref") or "") for each in found)


def matrix(
    loaded: LoadedLayout,
    questions: Questions,
    gerrit: GerritSettings,
    options: SchedulerSettings,
    sections: Collection[str] = SECTIONS,
) -> dict[str, Any]:
    """The document. ``gerrit`` is the connection that the sample events come from."""
    layout = loaded.layout
    document: dict[str, Any] = {
        "format": FORMAT,
        "targets": [f"{kind}:{name}" if name else kind for kind, name in questions.targets],
        "filesets": [name for name, _ in questions.filesets],
    }
    if "pipelines" in sections:
        document["pipeline-order"] = [each.name for each in layout.pipelines]
        document["pipelines"] = {each.name: _pipeline(each) for each in layout.pipelines}
    if "queues" in sections:
        document["queues"] = {
            name: [{"name": each.name, "projects": list(each.projects)} for each in queues]
            for name, queues in layout.queues.items()
        }
    if "jobs" in sections:
        document["jobs"] = {name: described_job(each) for name, each in layout.jobs.items()}
    if "cells" in sections:
        document["cells"] = _cells(layout, questions)
    if "params" in sections and questions.sample is not None:
        kinds = {each.name: _kinds(each) for each in layout.pipelines}
        asker = ParameterAsker(layout, loaded.functions, questions.sample)
        document["params"] = asker.answers(questions.params_targets, kinds)
    if "events" in sections:
        document["events"] = _events(layout, questions, gerrit, options)
    return document


# --- pipelines ---


def _pipeline(pipeline: Pipeline) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "manager": pipeline.manager,
        "precedence": pipeline.precedence.value,
        "kinds": sorted(_kinds(pipeline)),
        "dequeue-on-new-patchset": pipeline.dequeue_on_new_patchset,
        "ignore-dependencies": pipeline.ignore_dependencies,
        "disable-after-consecutive-failures": pipeline.disable_after,
        "on-start": _reporters(pipeline.start),
        "on-success": _reporters(pipeline.success),
        "on-failure": _reporters(pipeline.failure),
        "on-merge-failure": _reporters(pipeline.merge_failure or pipeline.failure),
        "on-disabled": _reporters(pipeline.disabled),
    }
    plain = Pipeline(pipeline.name)
    for key, text, default in (
        ("success-message", pipeline.success_message, plain.success_message),
        ("failure-message", pipeline.failure_message, plain.failure_message),
        ("merge-failure-message", pipeline.merge_failure_message, DEFAULT_MERGE_FAILURE_MESSAGE),
        ("footer-message", pipeline.footer_message, ""),
    ):
        if text != default:
            answer[key] = _text(text)
    if pipeline.manager == DEPENDENT:
        window = pipeline.window
        answer |= {
            "window": window.size,
            "window-floor": window.floor,
            "window-increase-type": window.increase_type,
            "window-increase-factor": window.increase_factor,
            "window-decrease-type": window.decrease_type,
            "window-decrease-factor": window.decrease_factor,
        }
    return answer


def _kinds(pipeline: Pipeline) -> set[str]:
    """What a pipeline's triggers can bring."""
    kinds = set()
    for each in pipeline.triggers:
        if each.trigger == "timer":
            kinds.add("timer")
        else:
            kinds |= {"ref" if one == "ref-updated" else "change" for one in each.types}
    return kinds


def _reporters(reporters: Iterable[Reporter]) -> dict[str, Any]:
    return {each.connection: _reporter(each) for each in reporters}


def _reporter(reporter: Reporter) -> dict[str, Any]:
    match reporter:
        case GerritReporter():
            options = {name: _text(value) for name, value in reporter.options}
            return {**dict(reporter.labels), **dict.fromkeys(reporter.flags, True), **options}
        case SmtpReporter():
            given = {"to": reporter.to, "from": reporter.sender, "subject": reporter.subject}
            return {name: _text(value) for name, value in given.items() if value is not None}
        case _:
            return {"score": reporter.score}


def _text(text: str) -> str:
    """Texts with a blank are long: only their digest is compared."""
    return f"sha1:{sha1(text.encode(), usedforsecurity=False).hexdigest()[:16]}" if " " in text else text


# --- jobs ---


def described_job(job: Job) -> dict[str, Any]:
    """The attributes that differ from the defaults, in the layout's own words."""
    plain = Job(job.name)
    named: dict[str, Any] = {
        "voting": job.voting,
        "hold-following-changes": job.hold_following_changes,
        "attempts": job.attempts,
        "queue-name": job.queue_name,
        "mutex": job.mutex,
        "parameter-function": job.parameter_function,
        "success-message": job.success_message and _text(job.success_message),
        "failure-message": job.failure_message and _text(job.failure_message),
        "success-pattern": job.success_pattern,
        "failure-pattern": job.failure_pattern,
    }
    answer = {key: value for key, value in named.items() if value != getattr(plain, key.replace("-", "_"))}
    lists: dict[str, list[Any]] = {
        "branch": _sources(job.branches),
        "files": _sources(job.files),
        "tags": sorted(job.tags),
        "skip-if": [_skip_if(each) for each in job.skip_if],
        "swift": sorted(each.name for each in job.swift),
    }
    return answer | {key: value for key, value in lists.items() if value}


def _skip_if(skip: SkipIf) -> dict[str, Any]:
    answer: dict[str, Any] = {}
    if skip.project:
        answer["project"] = skip.project.source
    if skip.branch:
        answer["branch"] = skip.branch.source
    if skip.all_files:
        answer["all-files-match-any"] = _sources(skip.all_files)
    return answer


def _sources(expressions: Iterable[Expression]) -> list[str]:
    return [each.source for each in expressions]


# --- which jobs run ---


Asked = tuple[str, tuple[Subject, ...]]
"""The kind of a target, and what is asked for: a change with each set of files, or the one ref or timer."""


def _cells(layout: Layout, questions: Questions) -> dict[str, Any]:
    kinds = {each.name: _kinds(each) for each in layout.pipelines}
    cells = {}
    for name, project in layout.projects.items():
        asked = [(kind, tuple(_subjects(questions, name, kind, where))) for kind, where in questions.targets]
        cells[name] = {
            pipeline: _cell(layout, asked, tree, kinds[pipeline]) for pipeline, tree in project.trees.items()
        }
    return cells


def _cell(
    layout: Layout, asked: Iterable[Asked], tree: tuple[JobNode, ...], kinds: Collection[str]
) -> dict[str, Any]:
    jobsets: dict[tuple[str, ...], int] = {}

    def number(subject: Subject) -> int:
        names = tuple([each.name for each in jobs_for(layout, tree, subject)])
        return jobsets.setdefault(names, len(jobsets))

    grid: list[Any] = []
    for kind, subjects in asked:
        if kind not in kinds:
            grid.append(None)
        elif kind == "change":
            grid.append([number(each) for each in subjects])
        else:
            grid.append(number(subjects[0]))
    return {"tree": [_node(each) for each in tree], "jobsets": [list(each) for each in jobsets], "grid": grid}


def _subjects(questions: Questions, project: str, kind: str, where: str) -> Iterator[Subject]:
    """``where`` is a branch or a ref."""
    if kind == "change":
        key = ChangeKey("gerrit", "1", "1")
        for _, files in questions.filesets:
            yield Change(key, project, where, "refs/changes/01/1/1", files=files)
    elif kind == "ref":
        yield RefUpdate(RefKey("gerrit", project, where, "2" * 40), "1" * 40)
    else:
        yield Periodic(PeriodicKey("gerrit", project))


def _node(node: JobNode) -> Any:
    return {node.job: [_node(each) for each in node.children]} if node.children else node.job


# --- events ---


def _events(layout: Layout, questions: Questions, gerrit: GerritSettings, options: SchedulerSettings) -> dict[str, Any]:
    return {
        case["id"]: {each: _event(layout, case, each, gerrit, options) for each in questions.event_projects}
        for case in questions.events
    }


def _event(
    layout: Layout, case: JsonObject, project: str, gerrit: GerritSettings, options: SchedulerSettings
) -> dict[str, Any]:
    asked = json.loads(json.dumps(dict(case)).replace(PLACEHOLDER, project))
    try:
        event = event_of(asked["event"], gerrit)
        subject = subject_of(event, asked.get("change")) if event is not None else None
    except (BadLineError, KeyError, TypeError, ValueError) as problem:
        return {"match": [], "enqueue": {}, "error": str(problem)}
    if event is None or subject is None:
        return {"match": [], "enqueue": {}}
    found = Asker(layout, options, float(event.created_on or 0)).answers(event, subject)
    return {
        "match": [each.pipeline for each in found if each.accepted],
        "enqueue": {each.pipeline: len(each.jobs) for each in found if each.jobs is not None},
    }
