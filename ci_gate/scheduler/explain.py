"""Why: decisions kept as codes and values, made into text when somebody reads them.

"Why was my change not tested?" is answered from here, not from logs. Wording lives in ``TEXTS`` alone.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from ci_gate.model.expression import Expression
from ci_gate.model.layout import VoteRequirement

MOST_DECISIONS = 50
MOST_SUBJECTS = 10_000


class Code(StrEnum):
    """What was decided. The values that each takes are the fields of its text."""

    ACCEPTED = "accepted"
    ACCEPTED_FOR_FAILED = "accepted-for-failed"
    EVENT_TYPE = "event-type"
    OTHER_CONNECTION = "other-connection"
    PIPELINE = "pipeline"
    NO_BRANCH = "no-branch"
    BRANCH = "branch"
    NO_REF = "no-ref"
    REF = "ref"
    DELETION = "deletion"
    NO_COMMENT = "no-comment"
    COMMENT = "comment"
    NO_ACCOUNT = "no-account"
    EMAIL = "email"
    USERNAME = "username"
    EVENT_VOTE = "event-vote"
    REQUIRED_VOTE = "required-vote"
    REJECTED_VOTE = "rejected-vote"
    TIMER = "timer"
    INTERNAL = "internal"
    NO_TRIGGER = "no-trigger"
    ENTERED = "entered"
    ENTERED_DEAD = "entered-dead"
    NO_QUEUE = "no-queue"
    NOT_READY = "not-ready"
    READINESS_UNKNOWN = "readiness-unknown"
    NEED_ELSEWHERE = "need-elsewhere"
    NEED_OUTDATED = "need-outdated"
    NEED_MISSING = "need-missing"
    NEED_REFUSED = "need-refused"
    NEED_FAILS = "need-fails"
    SUBMITTED = "submitted"
    NOT_SUBMITTED = "not-submitted"
    ALREADY_IN = "already-in"
    NOT_OPEN = "not-open"
    NOT_CURRENT = "not-current"
    STATUS = "status"
    NOT_A_CHANGE = "not-a-change"
    WIP = "wip"
    PRIVATE = "private"
    SUBMITTABLE = "submittable"
    UNKNOWN_PROJECT = "unknown-project"
    CAUGHT_UP = "caught-up"
    NO_SUCH_CHANGE = "no-such-change"
    QUERY_REFUSED = "query-refused"
    CYCLE = "cycle"
    NO_JOBS = "no-jobs"
    SUPERSEDED = "superseded"
    OVERTAKEN = "overtaken"
    ABANDONED = "abandoned"
    DELETED = "deleted"
    DEQUEUED = "dequeued"
    PROMOTED = "promoted"
    MERGE_REPEATED = "merge-repeated"
    MERGED = "merged"
    UPDATED = "updated"
    NOT_MERGED = "not-merged"
    LAUNCHED = "launched"
    BUILD_ENDED = "build-ended"
    BUILD_LOST = "build-lost"
    KEPT = "kept"
    ALL_AGAIN = "all-again"
    WAITS_FOR_MUTEX = "waits-for-mutex"
    WAITS_FOR_LIMIT = "waits-for-limit"
    WAITS_FOR_TURN = "waits-for-turn"
    REPORTED = "reported"
    SILENT = "silent"
    NOT_REVIEWED = "not-reviewed"
    PATTERN_FAILED = "pattern-failed"
    REPORT_REPEATED = "report-repeated"
    REPORT_GIVEN_UP = "report-given-up"
    REMOVED = "removed"
    JOB_REMOVED = "job-removed"
    PIPELINE_DISABLED = "pipeline-disabled"
    UNKNOWN_ANSWER = "unknown-answer"


TEXTS = {
    Code.ACCEPTED: "the event {event} is accepted by a filter of trigger {trigger}",
    Code.ACCEPTED_FOR_FAILED: "the event {event} is accepted by a filter of trigger {trigger}, for what failed before",
    Code.EVENT_TYPE: "the event {event} is not among {wanted}",
    Code.OTHER_CONNECTION: "the event came over connection {connection}, not {wanted}",
    Code.PIPELINE: "the parent entered {entered}, which does not match {wanted}",
    Code.NO_BRANCH: "the event has no branch, the filter asks for {wanted}",
    Code.BRANCH: "branch {branch!r} does not match {wanted}",
    Code.NO_REF: "the event has no ref, the filter asks for {wanted}",
    Code.REF: "ref {ref!r} does not match {wanted}",
    Code.DELETION: "{ref} was deleted, and deletions are ignored",
    Code.NO_COMMENT: "the event has no comment, the filter asks for {wanted}",
    Code.COMMENT: "the comment does not contain {wanted}",
    Code.NO_ACCOUNT: "the event has no account, the filter asks for one",
    Code.EMAIL: "e-mail address {email!r} does not match {wanted}",
    Code.USERNAME: "user name {username!r} does not match {wanted}",
    Code.EVENT_VOTE: "the event does not carry the vote {label}={value}",
    Code.REQUIRED_VOTE: "no vote on the change fits what is required: {wanted}",
    Code.REJECTED_VOTE: "a vote on the change is one that is rejected: {wanted}",
    Code.TIMER: "the filter waits for the time {wanted}",
    Code.INTERNAL: "the filter waits for an event of the service itself",
    Code.NO_TRIGGER: "the pipeline has no triggers",
    Code.ENTERED: "entered the pipeline, behind {behind}",
    Code.ENTERED_DEAD: "was put below a change that needs it, to be merged and not tested, behind {behind}",
    Code.NO_QUEUE: "project {project} is in no queue of this pipeline",
    Code.NOT_READY: "Gerrit would not submit {change} now: {blockers}",
    Code.READINESS_UNKNOWN: "SSH cannot tell whether Gerrit would submit {change}, and nobody asked for it here",
    Code.NEED_ELSEWHERE: "it needs {change}, which is neither merged nor of a project of the same queue",
    Code.NEED_OUTDATED: "it needs {change}, which is not the current patch set",
    Code.NEED_MISSING: "left: it needs {change}, which is no longer in front of it",
    Code.NEED_REFUSED: "it needs {change}, which cannot enter",
    Code.NEED_FAILS: "waits: it needs {change}, which is failing",
    Code.SUBMITTED: "left: Gerrit has merged it",
    Code.NOT_SUBMITTED: "left: it did not merge: {reason}",
    Code.ALREADY_IN: "is in the pipeline already",
    Code.NOT_OPEN: "open is {found}, the pipeline requires {wanted}",
    Code.NOT_CURRENT: "current-patchset is {found}, the pipeline requires {wanted}",
    Code.STATUS: "status is {found}, the pipeline requires {wanted}",
    Code.NOT_A_CHANGE: "the pipeline requires what only changes have",
    Code.WIP: "wip is {found}, the pipeline requires otherwise",
    Code.PRIVATE: "private is {found}, the pipeline requires otherwise",
    Code.SUBMITTABLE: "submittable is {found}, the pipeline requires otherwise",
    Code.CAUGHT_UP: "{type} was missed by the event stream; it was found by looking, and is treated as if it came now",
    Code.UNKNOWN_PROJECT: "project {project} is not in the layout",
    Code.NO_SUCH_CHANGE: "Gerrit does not show this change or patch set to us",
    Code.QUERY_REFUSED: "Gerrit refused the query: {reason}",
    Code.CYCLE: "changes need each other in a circle, so none of them can enter: {changes}",
    Code.NO_JOBS: "no job applies to it",
    Code.SUPERSEDED: "left: patch set {patchset} replaces it",
    Code.OVERTAKEN: "left: {by} came after it, and only the newest waits",
    Code.ABANDONED: "left: the change was abandoned",
    Code.DELETED: "left: the change was deleted",
    Code.DEQUEUED: "left: an operator took it out",
    Code.PROMOTED: "left its place: an operator promoted {changes}",
    Code.MERGE_REPEATED: "the merge is asked for again (try {tries}): {reason}",
    Code.MERGED: "merged for testing as {commit}",
    Code.UPDATED: "the merger's copy of the repository is up to date",
    Code.NOT_MERGED: "could not be merged for testing ({outcome}): {reason}",
    Code.LAUNCHED: "job {job} launched as {uuid}",
    Code.BUILD_ENDED: "job {job} ended: {result}",
    Code.BUILD_LOST: "job {job} ended without a result: {reason}",
    Code.KEPT: "job {job} keeps the success of the last report",
    Code.ALL_AGAIN: "all jobs run again, not only those that failed: {reason}",
    Code.WAITS_FOR_MUTEX: "job {job} waits for mutex {mutex}",
    Code.WAITS_FOR_LIMIT: "waits: its priority is {value}, and {limit} below 0 run already",
    Code.WAITS_FOR_TURN: "job {job} waits for its turn among those of its function",
    Code.REPORTED: "reported: {result}",
    Code.SILENT: "ended with {result}; the pipeline has no reporters for that",
    Code.NOT_REVIEWED: "no review is sent to Gerrit: only changes have some",
    Code.PATTERN_FAILED: "the link to job {job} could not be made by its pattern: {reason}",
    Code.REPORT_REPEATED: "the report will be tried again in {seconds} s: {reason}",
    Code.REPORT_GIVEN_UP: "the report could not be delivered: {reason}",
    Code.REMOVED: "left: the new layout has no place for it here",
    Code.JOB_REMOVED: "job {job} is not its job any more in the new layout",
    Code.PIPELINE_DISABLED: "the pipeline is disabled after {failures} consecutive failures",
    Code.UNKNOWN_ANSWER: "an answer came for something that is no longer asked: {what}",
}


def _text(code: Code, values: Iterable[tuple[str, object]]) -> str:
    return TEXTS[code].format(**{name: shown(value) for name, value in values})


def shown(value: object) -> object:
    """Values are kept as they are, and made into words only when somebody reads them."""
    match value:
        case tuple() if all(isinstance(each, Expression) for each in value):
            return " or ".join(each.source for each in value)
        case tuple():
            return ", ".join(map(str, value))
        case VoteRequirement():
            return _described(value)
        case _:
            return value


def _described(wanted: VoteRequirement) -> str:
    parts = [f"{name}: {sorted(values)}" for name, values in wanted.labels]
    if wanted.username:
        parts.append(f"username: {wanted.username.source}")
    if wanted.email:
        parts.append(f"email: {wanted.email.source}")
    if wanted.newer_than_s is not None:
        parts.append(f"newer-than: {wanted.newer_than_s:g} s")
    if wanted.older_than_s is not None:
        parts.append(f"older-than: {wanted.older_than_s:g} s")
    return ", ".join(parts)


class Verdict(NamedTuple):
    """The outcome of one check, with its reason. ``values`` are the fields of the code's text."""

    passed: bool
    code: Code
    values: tuple[tuple[str, object], ...] = ()

    @property
    def text(self) -> str:
        return _text(self.code, self.values)


def passed(code: Code, **values: object) -> Verdict:
    return Verdict(True, code, tuple(values.items()))


def failed(code: Code, **values: object) -> Verdict:
    return Verdict(False, code, tuple(values.items()))


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided about a subject (``12,3``, or a ref), in a pipeline or before any, and why."""

    at: float
    subject: str
    pipeline: str | None
    code: Code
    values: tuple[tuple[str, object], ...] = ()

    @property
    def text(self) -> str:
        return _text(self.code, self.values)


@dataclass(slots=True)
class Decisions:
    """The last decisions of each subject; the subjects that were quiet for longest are forgotten first.

    ``counts`` are of all that were ever made, by code.
    """

    by_subject: OrderedDict[str, deque[Decision]] = field(default_factory=OrderedDict)
    counts: Counter[Code] = field(default_factory=Counter)

    def add(self, decision: Decision) -> None:
        self.counts[decision.code] += 1
        kept = self.by_subject.setdefault(decision.subject, deque(maxlen=MOST_DECISIONS))
        kept.append(decision)
        self.by_subject.move_to_end(decision.subject)
        if len(self.by_subject) > MOST_SUBJECTS:
            self.by_subject.popitem(last=False)

    def about(self, subject: str) -> list[Decision]:
        """Of a patch set (``12,3``) and of its change (``12``), or of all patch sets of a change; in order of time."""
        number = subject.partition(",")[0]
        wanted = [subject, number] if "," in subject else [subject, *self._patch_sets(number)]
        found = [each for name in dict.fromkeys(wanted) for each in self.by_subject.get(name, ())]
        return sorted(found, key=lambda each: each.at)

    def _patch_sets(self, number: str) -> list[str]:
        return [name for name in self.by_subject if name.startswith(f"{number},")]

    def of(self, subject: str) -> Iterator[Decision]:
        return iter(self.by_subject.get(subject, ()))
