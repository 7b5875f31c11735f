"""Reads the live system's comments: which pipeline speaks, and how its jobs ended (outputs.md 2, gerrit-wire.md 3.5).

The live system may be Zuul 2 or ci-gate, with or without job names in its lines, with the layout's messages or others.
What a comment does not say is guessed from what the layout knows: messages, jobs, votes, and paths of links.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from ci_gate.model.build import SUCCESS
from ci_gate.model.labels import normal_label
from ci_gate.model.layout import GerritReporter, JobNode, Layout, Pipeline, Reporter
from ci_gate.shadow.said import JobResult, Kind

HEADER = re.compile(r"\A\s*Patch Set \d+:[^\n]*(?:\n+|\Z)(?:\(\d+ comments?\)(?:\n+|\Z))?")
VOTE = re.compile(r"(?<= )-?(?P<label>[A-Za-z][\w-]*?)(?:[+-]\d+)?(?= |$)")
JOB_LINE = re.compile(
    r"- (?P<what>\S(?:.*?\S)?) : (?P<result>\S.*?)"
    r"(?P<took> in (?:\d+h )?(?:\d+m )?\d+s)?(?P<not_voting> \(non-voting\))?[ \r]*"
)
NAMED_PIPELINE = re.compile(r"\(?\b(?P<name>[^\s()]+) pipeline\b")
STARTING = re.compile(r"Starting (?P<name>.+) jobs\.(?=\s|$)")
JENKINS_JOB = re.compile(r"/job/(?P<name>[^/?#]+)(?=[/?#]|$)")
OPENINGS = (
    ("All tests passed, but this change was not merged.", Kind.UNSUBMITTED),
    ("This change was not tested", Kind.UNTESTED),
    ("Merge Failed.", Kind.UNMERGED),
    ("Build succeeded", Kind.SUCCEEDED),
    ("Build failed", Kind.FAILED),
)


@dataclass(frozen=True, slots=True)
class JobLine:
    """One job line as it stands. ``name`` None: it names no job, and the link has to tell."""

    name: str | None
    url: str
    result: str
    voting: bool


@dataclass(frozen=True, slots=True)
class Comment:
    """A report in a comment. ``pipeline`` None: none of the layout fits. ``jobs`` in the order of the lines."""

    kind: Kind
    pipeline: str | None
    jobs: tuple[JobResult, ...] = ()


def read_comment(
    text: str,
    layout: Layout,
    *,
    connection: str,
    project: str,
    votes: Mapping[str, int] | None = None,
    started: Collection[str] = (),
) -> Comment | None:
    """What a comment reports; None if it reports nothing.

    ``text`` may have Gerrit's header. ``votes`` (by normal label) came with it. ``started`` are the pipelines that have
    announced themselves on the patch set and not reported yet.
    """
    body = HEADER.sub("", text, count=1).strip()
    lines = tuple(job_lines(body))
    starting = STARTING.match(body)
    if starting is not None and not lines:
        return Comment(Kind.STARTED, starting["name"])
    kind = _kind(body, lines, layout)
    if kind is None:
        return None
    if kind is Kind.UNSUBMITTED:
        return Comment(kind, None)
    asked = _Asked(body, lines, kind, layout, connection, project, votes or {}, started)
    pipeline = asked.pipeline()
    known = jobs_in(layout, project, pipeline) or frozenset(layout.jobs)
    return Comment(kind, pipeline, tuple(_job_result(each, kind, layout, known) for each in lines))


def labels_given(text: str) -> tuple[str, ...]:
    """Which votes came with a comment, by its header: normal labels."""
    header = HEADER.match(text)
    if header is None:
        return ()
    votes = header.group().strip().partition("\n")[0].partition(":")[2]
    return tuple(normal_label(each["label"]) for each in VOTE.finditer(votes))


def job_lines(body: str) -> Iterator[JobLine]:
    """The first lines that stand together; what follows may be reasons and a footer."""
    begun = False
    for line in body.split("\n"):
        found = JOB_LINE.fullmatch(line)
        if found is None:
            if begun:
                return
            continue
        begun = True
        first, _, rest = found["what"].partition(" ")
        name, url = (first, rest) if rest else (None if "://" in first else first, first)
        yield JobLine(name, url, found["result"], found["not_voting"] is None)


def jobs_in(layout: Layout, project: str, pipeline: str | None) -> frozenset[str]:
    """The names of all jobs of a project's tree."""
    return frozenset(_names(layout.tree(project, pipeline) or ())) if pipeline else frozenset()


def _names(nodes: Iterable[JobNode]) -> Iterator[str]:
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        yield node.job
        waiting.extend(node.children)


# --- what kind of report, of which pipeline ---


def _kind(body: str, lines: Collection[JobLine], layout: Layout) -> Kind | None:
    """By the layout's messages, the longest that fits; then by the usual ones; then by the jobs."""
    kinds = [(len(message), kind) for each in layout.pipelines for kind, message in _messages(each)
             if message and body.startswith(message)]  # fmt: skip
    for opening, kind in OPENINGS:
        if body.startswith(opening):
            kinds.append((len(opening), kind))
    longest = max((length for length, _ in kinds), default=0)
    fitting = {kind for length, kind in kinds if length == longest}
    if len(fitting) == 1:
        return fitting.pop()
    if not lines:
        return None
    return Kind.FAILED if any(each.voting and each.result != SUCCESS for each in lines) else Kind.SUCCEEDED


def _messages(pipeline: Pipeline) -> Iterator[tuple[Kind, str]]:
    yield Kind.SUCCEEDED, pipeline.success_message.strip()
    yield Kind.FAILED, pipeline.failure_message.strip()
    yield Kind.UNMERGED, pipeline.merge_failure_message.strip()


@dataclass(frozen=True, slots=True)
class _Asked:
    """Which pipeline says this?"""

    body: str
    lines: tuple[JobLine, ...]
    kind: Kind
    layout: Layout
    connection: str
    project: str
    votes: Mapping[str, int]
    started: Collection[str]

    def pipeline(self) -> str | None:
        """The one that most speaks for, the first in the layout among equals; None if nothing speaks for any."""
        named = NAMED_PIPELINE.search(self.body.partition("\n")[0])
        known = {each.name for each in self.layout.pipelines}
        if named is not None and (named["name"] in known or self.body.startswith("Build ")):
            return named["name"]
        possible = [each for each in self.layout.pipelines if self._may_say(each)]
        best = max(possible, key=self._likeness, default=None)
        return best.name if best is not None and self._likeness(best) > 0 else None

    def _may_say(self, pipeline: Pipeline) -> bool:
        reporters = (*_reporters(pipeline, self.kind), *pipeline.disabled)
        return any(isinstance(each, GerritReporter) and each.connection == self.connection for each in reporters)

    def _likeness(self, pipeline: Pipeline) -> int:
        jobs = jobs_in(self.layout, self.project, pipeline.name)
        found = [job_name(each, jobs) for each in self.lines]
        message = dict(_messages(pipeline)).get(self.kind, "")
        return (
            8 * (pipeline.name in self.started)
            + 6 * any(pipeline.name in _segments(each.url) for each in self.lines)
            + 4 * (bool(found) and all(each in jobs for each in found))
            + 2 * any(each in jobs for each in found)
            + 2 * (bool(message) and self.body.startswith(message))
            + 2 * self._votes_like(pipeline)
            + (self.layout.tree(self.project, pipeline.name) is not None)
        )

    def _votes_like(self, pipeline: Pipeline) -> bool:
        wanted = votes_of(_reporters(pipeline, self.kind), self.connection)
        return bool(wanted) and all(self.votes.get(label, 0) == value for label, value in wanted.items())


def _reporters(pipeline: Pipeline, kind: Kind) -> tuple[Reporter, ...]:
    if kind is Kind.SUCCEEDED:
        return pipeline.success
    if kind is Kind.UNMERGED:
        return pipeline.merge_failure or pipeline.failure
    return pipeline.failure


def votes_of(reporters: Iterable[Reporter], connection: str) -> dict[str, int]:
    """The votes that reporters give on a connection, by normal label."""
    found = [each for each in reporters if isinstance(each, GerritReporter) and each.connection == connection]
    return {normal: value for each in found for normal, value in _normal(each.labels)}


def _normal(labels: Iterable[tuple[str, int]]) -> Iterator[tuple[str, int]]:
    return ((normal_label(name), value) for name, value in labels)


# --- jobs ---


def job_name(line: JobLine, known: Collection[str]) -> str:
    """As the line says, else the last part of its link that is a job's name, else by Jenkins' way, else the link."""
    if line.name is not None:
        return line.name
    named = [each for each in _segments(line.url) if each in known]
    if named:
        return named[-1]
    jenkins = JENKINS_JOB.findall(line.url)
    return unquote(jenkins[-1]) if jenkins else line.url


def _segments(url: str) -> list[str]:
    if "://" not in url:
        return []
    try:
        path = urlsplit(url).path
    except ValueError:  # what looks like an address and is none
        return []
    return [unquote(each) for each in path.split("/") if each]


def _job_result(line: JobLine, kind: Kind, layout: Layout, known: Collection[str]) -> JobResult:
    name = job_name(line, known)
    job = layout.job(name)
    result = {job.success_message: "SUCCESS", job.failure_message: "FAILURE"}.get(line.result, line.result)
    if kind is Kind.SUCCEEDED and line.voting and not re.fullmatch(r"[A-Z_]+", result):
        result = SUCCESS  # words of the live system's own layout: all that vote have succeeded
    return JobResult(name, result, line.voting, line.url)
