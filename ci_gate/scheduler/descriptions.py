"""What Jenkins shows beside the builds of a build set, as a fragment of HTML (gearman-jenkins.md 5).

It is sent once to each build, when its build set is reported or comes to nothing; and once more where another build set
followed, when that one is. Everything that comes from outside is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from ci_gate.model.build import NumberedBuild
from ci_gate.model.change import Change, RefUpdate, Subject
from ci_gate.model.item import BuildView, JobView
from ci_gate.model.layout import Job
from ci_gate.scheduler.chains import Chain
from ci_gate.scheduler.effects import DescribeBuilds
from ci_gate.scheduler.state import Build, Described, Item
from ci_gate.scheduler.step import Step
from ci_gate.scheduler.views import item_view

MOST_AHEAD = 10  # that are named; a long queue would fill the page, and the journal
LINKED = ("http://", "https://")


def describe_builds(step: Step, item: Item) -> Described | None:
    """The item's build set has its result. None: no worker has begun a build of it."""
    builds = tuple(_numbered(item.build_set.builds.values()))
    if not builds:
        return None
    item.view = None
    results = _results(item_view(step.state, item).jobs)
    subject = _subject(step.state.subject(item), item.pipeline.name, item.build_set.chain)
    html = f"<p>{subject}</p><p>Result: <b>{escape(item.build_set.result or '')}</b></p>{results}"
    former = item.former
    if former is not None:
        html += f"<p>The builds before these, on another base:</p>{former.results}"
        followed = f"{former.html}<p>The builds after these, on another base:</p>{results}"
        step.emit(DescribeBuilds(former.builds, followed))
    step.emit(DescribeBuilds(builds, html))
    return Described(builds, html, results)


def _numbered(builds: Iterable[Build]) -> Iterable[NumberedBuild]:
    for each in builds:
        if each.manager is not None and each.number is not None:
            yield NumberedBuild(each.job, each.manager, each.number)


def _results(jobs: Iterable[JobView]) -> str:
    lines = (_result(each.job, each.build, each.report_url) for each in jobs if each.build is not None)
    return f"<ul>{''.join(lines)}</ul>"


def _result(job: Job, build: BuildView, report_url: str | None) -> str:
    """Linked as in the report, if a worker has begun it."""
    name = _linked(job.name, report_url if build.started_at is not None else None)
    return f"<li>{name}: {escape(build.result or '')}{'' if job.voting else ' (non-voting)'}</li>"


def _subject(subject: Subject, pipeline: str, chain: Chain) -> str:
    """``chain`` ends with the subject, if that is a change."""
    where = f"{escape(subject.project)}, pipeline {escape(pipeline)}"
    if isinstance(subject, Change):
        text = f"{_change(subject)} of {where}, branch {escape(subject.branch)}"
        ahead = chain.changes[:-1]
        return f"{text}, together with {_named(ahead)}" if ahead else text
    if isinstance(subject, RefUpdate):
        moved = f"{subject.ref} from {subject.oldrev[:7]} to {subject.newrev[:7]}"
        return f"{_linked(moved, subject.url)} of {where}"
    return where


def _named(changes: tuple[Change, ...]) -> str:
    names = ", ".join(_change(each) for each in changes[-MOST_AHEAD:])
    return names if len(changes) <= MOST_AHEAD else f"{len(changes) - MOST_AHEAD} more, {names}"


def _change(change: Change) -> str:
    return _linked(str(change.key), change.url)


def _linked(text: str, url: str | None) -> str:
    if url is None or not url.startswith(LINKED):
        return escape(text)
    return f'<a href="{escape(url)}">{escape(text)}</a>'
