"""``ci-gate layout …``: what a layout decides, without running it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ci_gate.cli.loading import Site, add_file_arguments, load_site
from ci_gate.config.layout.json_schema import json_schema
from ci_gate.gerrit.events import BadLineError, event_of
from ci_gate.model.change import Change, ChangeKey, Periodic, PeriodicKey, RefKey, RefUpdate, Subject
from ci_gate.model.layout import Job, Layout, Project
from ci_gate.questions.events import Asker, subject_of
from ci_gate.questions.matrix import SECTIONS, matrix, read_questions
from ci_gate.questions.printing import only_project, print_layout
from ci_gate.scheduler.jobs import jobs_for

DONE, REFUSED, USAGE = 0, 1, 2
COMMIT_MESSAGE = "/COMMIT_MSG"


class UsageError(Exception):
    """The command was called in a way that cannot work; the text says how it can."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    questions = parser.add_subparsers(dest="question", metavar="QUESTION", required=True)
    jobs = questions.add_parser("jobs", help="which jobs run for a project, or for each")
    jobs.add_argument("project", metavar="PROJECT", nargs="?", help="default: all projects")
    jobs.add_argument("--pipeline", metavar="NAME", help="of this pipeline only")
    jobs.add_argument(
        "--branch", metavar="NAME", default="master", help="for a change of this branch (default: master)"
    )
    jobs.add_argument("--ref", metavar="REF", help="for an update of this ref in place of a change")
    jobs.add_argument("--timer", action="store_true", help="for a timer in place of a change")
    jobs.add_argument("--files", metavar="PATH", nargs="*", default=[], help="the files that the change touches")
    match = questions.add_parser("match", help="which pipelines would take an event, and why the others would not")
    match.add_argument("event", metavar="EVENT.json", help="a line of Gerrit's event stream; - is standard input")
    match.add_argument("--change", metavar="FILE", help="the change's record as gerrit query prints it")
    queues = questions.add_parser("queues", help="the shared change queues of dependent pipelines")
    queues.add_argument("--pipeline", metavar="NAME", help="of this pipeline only")
    whole = questions.add_parser("matrix", help="every answer as one JSON document")
    whole.add_argument("--cases", metavar="FILE", required=True, help="the branches, files and events to ask for")
    whole.add_argument("--sections", metavar="NAMES", help=f"only these, with commas: {', '.join(SECTIONS)}")
    whole_layout = questions.add_parser("print", help="the layout with templates filled in and patterns applied")
    whole_layout.add_argument("--project", metavar="NAME", help="only this project, its pipelines and its jobs")
    schema = questions.add_parser("schema", help="JSON Schema of layouts, for editors")
    schema.add_argument(
        "--config", "-c", metavar="FILE", help="accepted and not read: the schema is the same everywhere"
    )
    for each in (jobs, match, queues):
        each.add_argument("--format", choices=("text", "json"), default="text", help="how to print (default: text)")
    for each in (jobs, match, queues, whole, whole_layout):
        add_file_arguments(each)


def run(arguments: argparse.Namespace) -> int:
    if arguments.question == "schema":
        _print_json(json_schema())
        return DONE
    site = load_site(arguments)
    if site is None:
        return REFUSED
    questions: dict[str, Callable[[Site, argparse.Namespace], int]] = {
        "jobs": _jobs,
        "match": _match,
        "queues": _queues,
        "matrix": _matrix,
        "print": _print,
    }
    try:
        return questions[arguments.question](site, arguments)
    except UsageError as problem:
        print(f"ci-gate layout {arguments.question}: {problem}", file=sys.stderr)
        return USAGE


# --- jobs ---


def _jobs(site: Site, arguments: argparse.Namespace) -> int:
    layout = site.loaded.layout
    if arguments.project is not None and arguments.project not in layout.projects:
        raise UsageError(f"project {arguments.project} is not in the layout")
    if arguments.pipeline is not None and layout.pipeline(arguments.pipeline) is None:
        raise UsageError(f"pipeline {arguments.pipeline} is not in the layout")
    names = layout.projects if arguments.project is None else (arguments.project,)
    found = {name: _jobs_of(layout, layout.projects[name], arguments) for name in names}
    if arguments.format == "json":
        shown = {
            name: {pipeline: [job.name for job in jobs] for pipeline, jobs in by_pipeline.items()}
            for name, by_pipeline in found.items()
        }
        _print_json(shown if arguments.project is None else shown[arguments.project])
        return DONE
    rows = [
        (name, pipeline, _described(job))
        for name, by_pipeline in found.items()
        for pipeline, jobs in by_pipeline.items()
        for job in jobs
    ]
    _print_table(rows if arguments.project is None else [each[1:] for each in rows], "no job runs")
    return DONE


def _jobs_of(layout: Layout, project: Project, arguments: argparse.Namespace) -> dict[str, list[Job]]:
    subject = _subject(project.name, arguments)
    return {
        pipeline: jobs_for(layout, tree, subject)
        for pipeline, tree in project.trees.items()
        if arguments.pipeline in (None, pipeline)
    }


def _subject(project: str, arguments: argparse.Namespace) -> Subject:
    if arguments.timer:
        return Periodic(PeriodicKey("gerrit", project))
    if arguments.ref is not None:
        return RefUpdate(RefKey("gerrit", project, arguments.ref, "2" * 40), "1" * 40)
    files = (COMMIT_MESSAGE, *arguments.files) if arguments.files else ()
    key = ChangeKey("gerrit", "1", "1")
    return Change(key, project, arguments.branch, "refs/changes/01/1/1", files=files)


def _described(job: Job) -> str:
    return job.name if job.voting else f"{job.name} (non-voting)"


# --- match ---


def _match(site: Site, arguments: argparse.Namespace) -> int:
    gerrit = next(iter(site.gerrits), None)
    if gerrit is None:
        raise UsageError("the configuration has no Gerrit connection")
    found = _read_json(arguments.event)
    record = _read_json(arguments.change) if arguments.change else None
    try:
        event = event_of(found, gerrit)
        subject = subject_of(event, record) if event is not None else None
    except (BadLineError, KeyError, TypeError, ValueError) as problem:
        raise UsageError(f"{arguments.event} is no event of Gerrit's stream: {problem}") from problem
    if event is None or subject is None:
        raise UsageError("no pipeline can be triggered by such an event, or the change has no such patch set")
    answers = Asker(site.loaded.layout, site.options, float(event.created_on or 0)).answers(event, subject)
    if arguments.format == "json":
        _print_json([_answer(each.pipeline, each.accepted, each.reason, each.jobs) for each in answers])
        return DONE
    rows = []
    for each in answers:
        verdict = "no" if not each.accepted else "yes" if each.jobs is not None else "not in"
        rows.append((each.pipeline, verdict, each.reason if each.jobs is None else _entered(each.jobs)))
    _print_table(rows, "the layout has no pipelines")
    return DONE


def _entered(jobs: Sequence[Job]) -> str:
    if not jobs:
        return "enters, and leaves again without a word: no job applies"
    return f"enters with {len(jobs)} {'job' if len(jobs) == 1 else 'jobs'}"


def _answer(pipeline: str, accepted: bool, reason: str, jobs: Sequence[Job] | None) -> dict[str, Any]:  # a row
    names = [each.name for each in jobs] if jobs is not None else None
    return {"pipeline": pipeline, "accepted": accepted, "reason": reason, "jobs": names}


# --- queues and matrix ---


def _queues(site: Site, arguments: argparse.Namespace) -> int:
    queues = {name: each for name, each in site.loaded.layout.queues.items() if arguments.pipeline in (None, name)}
    if arguments.format == "json":
        _print_json(
            {name: [{"name": each.name, "projects": each.projects} for each in found] for name, found in queues.items()}
        )
        return DONE
    rows = [
        (name, each.name or "–", str(len(each.projects)), ", ".join(each.projects))
        for name, found in queues.items()
        for each in found
    ]
    _print_table(rows, "no shared queues: the layout has no dependent pipeline with projects")
    return DONE


def _matrix(site: Site, arguments: argparse.Namespace) -> int:
    sections = arguments.sections.split(",") if arguments.sections else SECTIONS
    unknown = [each for each in sections if each not in SECTIONS]
    if unknown:
        raise UsageError(f"unknown section {unknown[0]}; known: {', '.join(SECTIONS)}")
    try:
        questions = read_questions(_read_json(arguments.cases))
    except (KeyError, TypeError, ValueError) as problem:
        raise UsageError(f"{arguments.cases} is no cases file: {problem}") from problem
    gerrit = next(iter(site.gerrits), None)
    if gerrit is None:
        raise UsageError("the configuration has no Gerrit connection")
    json.dump(matrix(site.loaded, questions, gerrit, site.options, sections), sys.stdout, default=str)
    print()
    return DONE


def _print(site: Site, arguments: argparse.Namespace) -> int:
    layout, files = site.loaded.layout, site.loaded.functions.files
    if arguments.project is not None:
        if arguments.project not in layout.projects:
            raise UsageError(f"project {arguments.project} is not in the layout")
        layout = only_project(layout, arguments.project)
    print(print_layout(layout, [str(each) for each in files]), end="")
    return DONE


# --- reading and printing ---


def _read_json(path: str) -> Any:
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
        return json.loads(text)
    except (OSError, ValueError) as problem:
        raise UsageError(f"cannot read {path}: {problem}") from problem


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def _print_table(rows: Sequence[tuple[str, ...]], nothing: str) -> None:
    if not rows:
        print(nothing)
        return
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [each.ljust(width) for each, width in zip(row, widths, strict=False)]
        print("  ".join([*cells, row[-1]]).rstrip())
