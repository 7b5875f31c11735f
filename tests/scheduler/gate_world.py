"""The world of ``spec/walkthroughs.md``: its layout, and tables in its notation.

A row is what happens, what the service does then (``;`` between effects), and the queues afterwards (``|`` between
them). Merges, launches, cancels and reports are compared each in their own order; between them no rule connects them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scripted_world import NOT_READY, READY, NoFunctions, World, change_id_of, vote

from ci_gate.config.layout import load_layout
from ci_gate.model.build import BuildUpdate
from ci_gate.model.change import Account, RelatedChange
from ci_gate.model.event import Event
from ci_gate.model.item import ItemView
from ci_gate.model.layout import Layout
from ci_gate.model.options import SchedulerSettings
from ci_gate.model.report import Mail
from ci_gate.scheduler.effects import CancelBuild, Effect, LaunchBuild, Merge, SendReport, SetTimer
from ci_gate.scheduler.inputs import BuildUpdated, LayoutReplaced

LAYOUT = """
pipelines:
  - name: check
    manager: IndependentPipelineManager
    trigger:
      gerrit:
        - event: [patchset-created, change-restored]
        - event: comment-added
          comment: (?mi)^recheck$
    success: {gerrit: {Verified: 1}}
    failure: {gerrit: {Verified: -1}}
  - name: gate
    manager: DependentPipelineManager
    precedence: high
    trigger: {gerrit: [{event: comment-added, approval: [{Workflow: 1}]}]}
    start: {gerrit: {Verified: 0}}
    success: {gerrit: {Verified: 2, submit: true}}
    failure: {gerrit: {Verified: -2}}
  - name: post
    manager: IndependentPipelineManager
    precedence: low
    trigger: {gerrit: [{event: ref-updated, ref: '^(?!refs/).*$'}]}
  - name: release
    manager: IndependentPipelineManager
    trigger: {gerrit: [{event: ref-updated, ref: '^refs/tags/[0-9]'}]}
    failure: {smtp: {to: rel@demo}}
  - name: nightly
    manager: IndependentPipelineManager
    trigger: {timer: [{time: 0 2 * * *}]}
    success: {smtp: {to: qa@demo, subject: nightly}}
    failure: {smtp: {to: qa@demo, subject: nightly}}
jobs:
  - {name: perf, voting: false}
  - {name: manual, files: ^doc/}
  - {name: old-only, branch: ^old/}
  - name: slow-tests
    skip-if:
      - all-files-match-any: ['^doc/', '.*[.]md$']
projects:
  - name: demo/app
    check: [lint, {unit: [integ, perf]}]
    gate: [lint, {unit: [integ]}]
    post: [publish]
    release: [tarball]
  - {name: demo/lib,  check: [lib-unit],   gate: [lib-unit, integ]}
  - {name: demo/docs, check: [docs-build], gate: [docs-build]}
  - {name: demo/one,  check: [one],        gate: [one], nightly: [soak]}
  - {name: demo/pair, check: [one],        gate: [one, two]}
  - {name: demo/idle, check: [one],        gate: []}
  - {name: demo/plain, check: [one],       gate: [noop]}
  - {name: demo/filters, check: [lint, manual, old-only, slow-tests]}
"""

KINDS = {
    "Starting": "start",
    "Build succeeded.": "success",
    "Build failed.": "failure",
    "Merge Failed.": "merge failure",
    "This change was not tested to the end": "needed change failed",
    "This change was not tested:": "technical problem",
    "All tests passed, but": "not submitted",
}
Row = tuple[Callable[[], list[str]], str, str]


def layout_of(text: str = LAYOUT) -> Layout:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "layout.yaml"
        path.write_text(text, encoding="utf-8")
        return load_layout(path, connections={"gerrit": "gerrit", "smtp": "smtp"}).layout


def layout_with(*edits: tuple[str, str]) -> Layout:
    text = LAYOUT
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new, 1)
    return layout_of(text)


THE_LAYOUT = layout_of()


@dataclass
class GateWorld(World):
    """``told`` of a step are effects as the tables write them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.chains: dict[str, list[str]] = {}
        self.started: set[str] = set()

    # --- what people do ---

    def create(self, name: str, project: str = "demo/one", **known: object) -> None:
        """``on`` is the git parent; ``needs`` are named in footers; ``ready``: Gerrit would submit it."""
        parent, footers = known.pop("on", None), known.pop("needs", "")
        ready = known.pop("ready", True)
        super().create(name, project, **known)
        message = "".join(f"Depends-On: {change_id_of(each)}\n" for each in footers)
        message = f"Change something\n\n{message}Change-Id: {change_id_of(name)}\n"
        self.change(name, commit_message=message, submit_records=(READY if ready else NOT_READY,))
        if parent is not None:
            self.set_parent(name, parent)

    def set_parent(self, name: str, parent: str) -> None:
        below = self.details(parent)
        self.change(name, depends_on=(RelatedChange(below.number, below.current_patchset),))
        me = self.details(name)
        self.change(parent, needed_by=(*below.needed_by, RelatedChange(me.number, me.current_patchset)))

    def uploaded(self, name: str) -> list[str]:
        return self.tell(self.event("patchset-created", name))

    def approved(self, name: str, by: str = "boss") -> list[str]:
        """The vote Workflow +1, which also stands on the change."""
        person = Account(by, f"{by}@example.org", by)
        details = self.details(name)
        self.change(name, votes=(*details.votes, vote("Workflow", 1, person, self.at)))
        given = {"comment": "Patch Set 1: Workflow+1", "votes": (vote("Workflow", 1),), "account": person}
        return self.tell(self.event("comment-added", name, **given))

    def becomes_ready(self, name: str) -> None:
        self.change(name, submit_records=(READY,))

    def ref_updated(self, project: str, ref: str, old: str, new: str) -> list[str]:
        return self.tell(Event("ref-updated", "gerrit", project, ref=ref, oldrev=old * 40, newrev=new * 40))

    def begins(self, job: str, name: str) -> list[str]:
        uuid = self.requests[job, name]
        self.started.add(uuid)
        return self.step(BuildUpdated(self.at, BuildUpdate(uuid, started=True, number=1, manager="m")))

    def reload(self, layout: Layout) -> list[str]:
        return self.step(LayoutReplaced(self.at, 1, layout, NoFunctions()))

    def waits_for(self, kind: str) -> list[str]:
        """Time passes until the next timer of a kind (``merge``, ``report``) has fired."""
        return self.fire_timers(min(each.at for each in self.outstanding(SetTimer) if each.timer.startswith(kind)))

    # --- how it is told ---

    def _tell(self, effect: Effect) -> list[str]:
        match effect:
            case Merge():
                request = effect.request
                name = self._name(request.number, request.patchset)
                ahead = self.chains[request.ahead] if request.ahead else []
                self.chains[request.ref] = [*ahead, f"{name}→{self._ref(request.ref)}"]
                # The state ahead may hold what was merged since; the tables leave that out.
                item = self.scheduler._state.items_by_build_set.get(request.ref)
                length = len(item.build_set.ahead) + 1 if item else len(ahead) + 1
                return [f"merge {' '.join(self.chains[request.ref][-length:])}"]
            case CancelBuild():
                verb = "stop" if effect.uuid in self.started else "cancel"
                return [f"{verb} {self._refs_of[effect.uuid]}"]
            case _:
                return super()._tell(effect)

    def _tell_launch(self, effect: LaunchBuild) -> str:
        request = effect.request
        if "ZUUL_REF" in request.parameters:
            return super()._tell_launch(effect)
        project = str(request.parameters["ZUUL_PROJECT"])
        self.requests[request.job, project] = request.uuid
        self._refs_of[request.uuid] = f"{request.job} of {project}"
        return f"launch {request.job} for project {project}"

    def _tell_report(self, effect: SendReport) -> str:
        report = effect.report
        text = report.body if isinstance(report, Mail) else report.message
        kind = next(kind for start, kind in KINDS.items() if text.startswith(start))
        lines = [line[2:] for line in text.splitlines() if line.startswith("- ")]
        results = ", ".join(f"{line.split(' ')[0]} {line.split(' : ')[1].split(' ')[0]}" for line in lines)
        if isinstance(report, Mail):
            return f"mail to {report.to}: {kind}" + (f": {results}" if results else "")
        marks = [f"{label}={value:+}" for label, value in report.labels] + list(report.flags)
        name = self._name(report.number, report.patchset)
        return f"report {name}: {kind} ({' '.join(marks)})" + (f": {results}" if results else "")

    def queues_text(self) -> str:
        told = []
        for pipeline in self.scheduler.view().pipelines:
            for queue in pipeline.queues:
                items = sorted((item for head in queue.heads for item in head), key=self._order)
                if items:
                    told.append(f"{pipeline.name}: {', '.join(map(self._describe, items))}")
        return " | ".join(told)

    def _order(self, item: ItemView) -> int:
        state = self.scheduler._state
        pipeline = state.pipelines[item.pipeline]
        return next(
            each.place for queue in pipeline.queues for each in queue.items if item.subject is state.subject(each)
        )

    def _describe(self, item: ItemView) -> str:
        subject = item.subject
        if hasattr(subject, "number"):
            name = self._name(subject.number, subject.patchset)
        else:
            name = getattr(subject, "ref", subject.project)
        marks = []
        if item.item_ahead:
            marks.append(f"on {self._name(*item.item_ahead.split(','))}")
        if not item.live:
            marks.append("dead")
        if item.failing_reasons:
            marks.append("failing")
        if not item.active:
            marks.append("outside")
        return f"{name} ({', '.join(marks)})" if marks else name


def new_world(**given: object) -> GateWorld:
    options = SchedulerSettings(url_pattern="{job.name}", report_times=False)
    return GateWorld(**{"layout": THE_LAYOUT, "options": options, **given})


def play(world: GateWorld, *rows: Row) -> None:
    for number, (happens, effects, queues) in enumerate(rows, start=1):
        told = happens() or []
        wanted = [each.strip() for each in effects.split(";") if each.strip()]
        for kind in ("merge", "launch", "cancel", "stop", "report", "mail", "update"):
            mine = [each for each in told if each.startswith(kind)]
            assert mine == [each for each in wanted if each.startswith(kind)], f"row {number}: {kind}: {told}"
        assert len(told) == len(wanted), f"row {number}: {told}"
        assert world.queues_text() == queues, f"row {number}: queues"


def earlier(world: GateWorld, *names: str) -> None:
    for name in names:
        world.create(name)
        world.approved(name)
