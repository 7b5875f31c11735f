"""Which jobs an item has, and which of them can be launched now (scheduler.md 1.5 and 9.1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ci_gate.model.change import Change, RefUpdate, Subject
from ci_gate.model.expression import Expression
from ci_gate.model.layout import Job, JobNode, Layout
from ci_gate.scheduler.state import Item, JobsOfItem, State

COMMIT_MESSAGE = "/COMMIT_MSG"
MOST_REMEMBERED = 50_000  # (job, project, branch or ref): refs have no end
UNKNOWN = object()


def tree_of(state: State, item: Item) -> tuple[JobNode, ...]:
    """The job tree that the item's project has in its pipeline; empty if it has none."""
    return state.layout.tree(state.subject(item).project, item.pipeline.name) or ()


def jobs_of(state: State, item: Item) -> tuple[Job, ...]:
    """The jobs that apply, in tree order, parents before children, each once at its first place."""
    if not item.live:
        return ()
    subject, known = state.subject(item), item.jobs
    if known is None or known.subject is not subject or known.layout is not state.layout:
        jobs = tuple(jobs_for(state.layout, tree_of(state, item), subject))
        known = item.jobs = JobsOfItem(subject, state.layout, jobs)
    return known.jobs


def holds_itself(state: State, item: Item) -> bool:
    """Is there a job for which the items behind have to wait?"""
    builds = item.build_set.builds
    return any(
        not ((build := builds.get(job.name)) is not None and build.succeeded)
        for job in jobs_of(state, item)
        if job.hold_following_changes
    )


def jobs_for(layout: Layout, tree: Iterable[JobNode], subject: Subject) -> list[Job]:
    """The jobs of a tree that would run for a subject if every job passed."""
    found: dict[str, Job] = {}
    _collect(layout, tree, subject, found)
    return list(found.values())


def _collect(layout: Layout, nodes: Iterable[JobNode], subject: Subject, found: dict[str, Job]) -> None:
    for node in nodes:
        job = found.get(node.job) or layout.job(node.job)
        if not applies(layout, job, subject):
            continue  # nor do its children
        found.setdefault(job.name, job)
        _collect(layout, node.children, subject, found)


def applies(layout: Layout, job: Job, subject: Subject) -> bool:
    """``branch``, ``files`` and ``skip-if`` all have to permit the job, which is one of the layout's."""
    branch = branch_for_filters(subject)
    key = (job.name, subject.project, branch)
    wanted = layout.memo.get(key, UNKNOWN)
    if wanted is UNKNOWN:
        if len(layout.memo) >= MOST_REMEMBERED:
            layout.memo.clear()
        wanted = layout.memo[key] = _left_to_ask(job, subject.project, branch)
    if wanted is None or wanted is NOTHING_ASKED:
        return wanted is not None
    files = subject.files if isinstance(subject, Change) else ()
    if wanted.files and not any(each.match(path) for path in files for each in wanted.files):
        return False
    return not any(_are_all(files, each) for each in wanted.unless_all)


class FilesAsked(NamedTuple):
    """What is left to ask of a job where project and branch permit it: one of ``files`` matches some file, and of no
    list of ``unless_all`` do the expressions match every file."""

    files: tuple[Expression, ...]
    unless_all: tuple[tuple[Expression, ...], ...]


NOTHING_ASKED = FilesAsked((), ())


def _left_to_ask(job: Job, project: str, branch: str | None) -> FilesAsked | None:
    """None if project and branch alone rule the job out."""
    if job.branches and not (branch is not None and any(each.match(branch) for each in job.branches)):
        return None
    unless_all = []
    for each in job.skip_if:
        if each.project and not each.project.match(project):
            continue
        if each.branch and not (branch is not None and each.branch.match(branch)):
            continue
        if not each.all_files:
            return None
        unless_all.append(each.all_files)
    return FilesAsked(job.files, tuple(unless_all)) if job.files or unless_all else NOTHING_ASKED


def _are_all(files: tuple[str, ...], expressions: Iterable[Expression]) -> bool:
    # A single path is the commit message of a merge or of a message-only change: that is not "all files".
    return len(files) > 1 and all(
        path == COMMIT_MESSAGE or any(each.match(path) for each in expressions) for path in files
    )


def branch_for_filters(subject: Subject) -> str | None:
    """A ref update's ref name stands in for the branch; a periodic subject has neither."""
    match subject:
        case Change():
            return subject.branch
        case RefUpdate():
            return subject.ref
        case _:
            return None


def wanted_now(state: State, item: Item) -> Iterator[Job]:
    """Jobs without a build whose parents have succeeded, in tree order, each once."""
    subject = state.subject(item)
    yield from _wanted(state, tree_of(state, item), item, subject, set())


def _wanted(state: State, nodes: Iterable[JobNode], item: Item, subject: Subject, seen: set[str]) -> Iterator[Job]:
    for node in nodes:
        job = state.job(node.job)
        if not applies(state.layout, job, subject):
            continue
        build = item.build_set.builds.get(job.name)
        if build is None:
            if job.name not in seen:
                seen.add(job.name)
                yield job
        elif build.succeeded:
            yield from _wanted(state, node.children, item, subject, seen)


def below(nodes: Iterable[JobNode], job: str) -> list[str]:
    """The names of all jobs below ``job``, wherever in the tree it stands, and in turn below each of them.

    A job that stands at several places takes along what is below it at each: it will not succeed there either.
    """
    found: dict[str, None] = {job: None}
    waiting = [job]
    while waiting:
        for name in _below_one(nodes, waiting.pop(0)):
            if name not in found:
                found[name] = None
                waiting.append(name)
    del found[job]
    return list(found)


def _below_one(nodes: Iterable[JobNode], job: str) -> Iterator[str]:
    for node in nodes:
        if node.job == job:
            yield from all_names(node.children)
        else:
            yield from _below_one(node.children, job)


def all_names(nodes: Iterable[JobNode]) -> Iterator[str]:
    for node in nodes:
        yield node.job
        yield from all_names(node.children)


def all_ended(state: State, item: Item) -> bool:
    """Has every job that applies a result? True without jobs."""
    builds = item.build_set.builds
    return all((build := builds.get(job.name)) is not None and build.result for job in jobs_of(state, item))


def succeeded(state: State, item: Item) -> bool:
    """Each voting job succeeded, and the item could be merged (scheduler.md 9.4)."""
    if item.build_set.not_mergeable:
        return False
    builds = item.build_set.builds
    return all(
        (build := builds.get(job.name)) is not None and build.succeeded for job in jobs_of(state, item) if job.voting
    )


def has_failed_job(state: State, item: Item) -> bool:
    """Has some voting job a result other than SUCCESS?"""
    builds = item.build_set.builds
    return any(
        (build := builds.get(job.name)) is not None and build.result is not None and not build.succeeded
        for job in jobs_of(state, item)
        if job.voting
    )
