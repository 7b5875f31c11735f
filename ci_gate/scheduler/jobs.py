"""Which jobs an item has, and which of them can be launched now (scheduler.md 1.5 and 9.1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ci_gate.model.change import Change, RefUpdate, Subject
from ci_gate.model.layout import Job, JobNode, Layout, SkipIf
from ci_gate.scheduler.state import Item, JobsOfItem, State

COMMIT_MESSAGE = "/COMMIT_MSG"


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
        if not applies(job, subject):
            continue  # nor do its children
        found.setdefault(job.name, job)
        _collect(layout, node.children, subject, found)


def applies(job: Job, subject: Subject) -> bool:
    """``branch``, ``files`` and ``skip-if`` all have to permit the job."""
    branch = branch_for_filters(subject)
    if job.branches and not (branch is not None and any(each.match(branch) for each in job.branches)):
        return False
    files = subject.files if isinstance(subject, Change) else ()
    if job.files and not any(each.match(path) for path in files for each in job.files):
        return False
    return not any(_skips(each, subject, branch, files) for each in job.skip_if)


def branch_for_filters(subject: Subject) -> str | None:
    """A ref update's ref name stands in for the branch; a periodic subject has neither."""
    match subject:
        case Change():
            return subject.branch
        case RefUpdate():
            return subject.ref
        case _:
            return None


def _skips(wanted: SkipIf, subject: Subject, branch: str | None, files: tuple[str, ...]) -> bool:
    if wanted.project and not wanted.project.match(subject.project):
        return False
    if wanted.branch and not (branch is not None and wanted.branch.match(branch)):
        return False
    if wanted.all_files:
        # A single path is the commit message of a merge or of a message-only change: that is not "all files".
        return len(files) > 1 and all(
            path == COMMIT_MESSAGE or any(each.match(path) for each in wanted.all_files) for path in files
        )
    return True


def wanted_now(state: State, item: Item) -> Iterator[Job]:
    """Jobs without a build whose parents have succeeded, in tree order, each once."""
    subject = state.subject(item)
    yield from _wanted(state, tree_of(state, item), item, subject, set())


def _wanted(state: State, nodes: Iterable[JobNode], item: Item, subject: Subject, seen: set[str]) -> Iterator[Job]:
    for node in nodes:
        job = state.job(node.job)
        if not applies(job, subject):
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
