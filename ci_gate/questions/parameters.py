"""The parameters of every build of a layout, as the operators' functions leave them: a section of the matrix."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from hashlib import md5
from typing import Any

from ci_gate.config.functions import call_function
from ci_gate.config.layout import Functions
from ci_gate.model.change import Change, ChangeKey, Periodic, PeriodicKey, RefKey, RefUpdate, Subject
from ci_gate.model.item import ItemView
from ci_gate.model.layout import Job, Layout, Pipeline
from ci_gate.scheduler.chains import EMPTY
from ci_gate.scheduler.jobs import jobs_for
from ci_gate.scheduler.parameters import Prepared, parameters_for

JsonObject = Mapping[str, Any]

NOOP = "noop"
NEVER_SENT_BY_ZUUL = ("ZUUL_SHORT_OLDREV", "ZUUL_SHORT_NEWREV")
"""Left out here, so that answers can be compared."""


@dataclass(frozen=True, slots=True)
class SampleItem:
    """What the builds are about: numbers, revisions and what the merger answers, of a change, a ref or a timer."""

    number: str
    patchset: str
    refspec: str
    url: str
    oldrev: str
    newrev: str
    zuul_ref: str
    zuul_url: str
    commit: str
    files: tuple[str, ...]

    def subject(self, project: str, kind: str, name: str) -> Subject:
        """``name`` is the branch or the ref."""
        if kind == "change":
            key = ChangeKey("gerrit", self.number, self.patchset)
            return Change(key, project, name, self.refspec, url=self.url, files=self.files)
        if kind == "ref":
            return RefUpdate(RefKey("gerrit", project, name, self.newrev), self.oldrev)
        return Periodic(PeriodicKey("gerrit", project))


def read_sample(document: JsonObject, filesets: Mapping[str, tuple[str, ...]]) -> SampleItem:
    """``item`` of a cases file; its ``files`` name a file set. Raises KeyError."""
    texts = {name: str(document[name]) for name in SampleItem.__slots__ if name != "files"}
    return SampleItem(**texts, files=filesets[document["files"]])


@dataclass(frozen=True, slots=True)
class ParameterAsker:
    """Makes the parameters of sample items under a layout."""

    layout: Layout
    functions: Functions
    sample: SampleItem

    def answers(self, targets: Iterable[tuple[str, str]], kinds: Mapping[str, Collection[str]]) -> dict[str, Any]:
        """By project, pipeline and target. ``kinds``: what the triggers of a pipeline can bring."""
        document: dict[str, Any] = {}
        for project, found in self.layout.projects.items():
            for pipeline in (each for each in self.layout.pipelines if each.name in found.trees):
                for kind, name in targets:
                    subject = self.sample.subject(project, kind, name)
                    jobs = [each for each in jobs_for(self.layout, found.trees[pipeline.name], subject) if runs(each)]
                    if jobs and kind in kinds[pipeline.name]:
                        target = f"{kind}:{name}" if name else kind
                        rows = document.setdefault(project, {}).setdefault(pipeline.name, {})
                        rows[target] = self._row(self._item(subject, pipeline), target, jobs)
        return document

    def _row(self, item: ItemView, target: str, jobs: Iterable[Job]) -> dict[str, Any]:
        """``common`` is what all jobs share."""
        answers = {job.name: self._answer(item, job, target) for job in jobs}
        given = [each["params"] for each in answers.values() if "params" in each]
        common = {
            name: value
            for name, value in (given[0].items() if given else ())
            if all(name in each and _same(each[name], value) for each in given)
        }
        for each in answers.values():
            if "params" in each:
                each["params"] = {name: value for name, value in each["params"].items() if name not in common}
        return {"common": common, "jobs": answers}

    def _answer(self, item: ItemView, job: Job, target: str) -> dict[str, Any]:
        subject = item.subject
        text = "\n".join((subject.project, item.pipeline, target, job.name))
        uuid = md5(text.encode(), usedforsecurity=False).hexdigest()
        chain = EMPTY.with_next(subject) if isinstance(subject, Change) else EMPTY
        prepared = Prepared(self.sample.zuul_ref, chain, self.sample.zuul_url, self.sample.commit)
        found = parameters_for(subject, item.pipeline, job, uuid, prepared)
        found = {name: value for name, value in found.items() if name not in NEVER_SENT_BY_ZUUL}
        if job.parameter_function is not None:
            called = call_function(self.functions, job.parameter_function, item, job, found)
            if called.error is not None:
                return {"error": called.error}
            found = dict(called.parameters)
        node = found.get("ZUUL_NODE")
        return {"params": found, **({"function": f"build:{job.name}:{node}"} if node else {})}

    def _item(self, subject: Subject, pipeline: Pipeline) -> ItemView:
        sample = self.sample
        return ItemView(
            subject,
            pipeline.name,
            pipeline.precedence,
            queue=subject.project,
            enqueued_at=0.0,
            ref=sample.zuul_ref if isinstance(subject, Change) else None,
            commit=sample.commit,
            url=sample.zuul_url,
        )


def runs(job: Job) -> bool:
    return job.name != NOOP


def _same(one: object, other: object) -> bool:
    """``1`` and ``true`` are not."""
    return one == other and type(one) is type(other)
