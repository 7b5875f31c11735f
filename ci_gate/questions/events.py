"""Which pipelines would take an event, and for each that would not the first reason (scheduler.md 4 and 5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ci_gate.gerrit.query import details_of
from ci_gate.model.change import Change, ChangeDetails, PatchSet, RefKey, RefUpdate, Subject
from ci_gate.model.event import Event
from ci_gate.model.layout import DEPENDENT, Job, Layout, Pipeline
from ci_gate.model.options import SchedulerSettings
from ci_gate.scheduler.explain import Code, Verdict, failed
from ci_gate.scheduler.filters import accept_event, check_requirements
from ci_gate.scheduler.jobs import jobs_for
from ci_gate.scheduler.readiness import blockers, own_labels

JsonObject = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What one pipeline does with an event. ``jobs`` is None if no item enters."""

    pipeline: str
    accepted: bool
    why: Verdict | str
    jobs: tuple[Job, ...] | None = None

    @property
    def reason(self) -> str:
        """For people; made only when somebody asks."""
        return self.why if isinstance(self.why, str) else self.why.text


@dataclass(frozen=True, slots=True)
class Asker:
    """What every question about one event has in common. Every pipeline is taken to be empty."""

    layout: Layout
    options: SchedulerSettings
    now: float

    def answers(self, event: Event, subject: Subject) -> list[Answer]:
        """One a pipeline, in the layout's order."""
        return [self._answer(each, event, subject) for each in self.layout.pipelines]

    def _answer(self, pipeline: Pipeline, event: Event, subject: Subject) -> Answer:
        if subject.project not in self.layout.projects:
            unknown = failed(Code.UNKNOWN_PROJECT, project=subject.project)
            return Answer(pipeline.name, accepted=False, why=unknown)
        votes = self.options.reject_requires_votes
        accepted = accept_event(pipeline, event, subject, self.now, reject_requires_votes=votes)
        if not accepted.passed:
            return Answer(pipeline.name, accepted=False, why=accepted)
        refusal = self._refusal(pipeline, subject)
        if refusal is not None:
            return Answer(pipeline.name, accepted=True, why=refusal)
        tree = self.layout.tree(subject.project, pipeline.name) or ()
        return Answer(pipeline.name, accepted=True, why="enters", jobs=tuple(jobs_for(self.layout, tree, subject)))

    def _refusal(self, pipeline: Pipeline, subject: Subject) -> Verdict | str | None:
        """Why a subject whose event was accepted does not enter."""
        dependent = pipeline.manager == DEPENDENT
        if dependent and self.layout.tree(subject.project, pipeline.name) is None:
            return f"{subject.project} is in no queue of this pipeline"
        votes = self.options.reject_requires_votes
        refused = check_requirements(pipeline, subject, self.now, reject_requires_votes=votes)
        if refused is not None:
            return refused
        if dependent and isinstance(subject, Change):
            missing = blockers(subject, own_labels(pipeline))
            if missing:
                named = ", ".join(sorted(f"{each.name} {each.detail}".strip() for each in missing))
                return f"Gerrit would not submit it: {named}"
        return None


def subject_of(event: Event, record: JsonObject | None) -> Subject | None:
    """What an event is about. ``record`` is what Gerrit's query tells of the change; without one, what the event says.

    None if the change has no such patch set.
    """
    if event.number is None:
        if event.ref is None or event.project is None:
            return None
        return RefUpdate(RefKey(event.connection, event.project, event.ref, event.newrev or ""), event.oldrev or "")
    details = details_of(record, event.connection) if record is not None else _from_event(event)
    patchset = event.patchset or details.current_patchset
    return Change.of(details, patchset) if patchset is not None else None


def _from_event(event: Event) -> ChangeDetails:
    patch_set = PatchSet(event.patchset or "1", event.refspec or "", "")
    return ChangeDetails(
        event.connection,
        event.number or "",
        event.project or "",
        event.branch or "",
        url=event.change_url,
        patch_sets=(patch_set,),
        votes=event.votes,
    )
