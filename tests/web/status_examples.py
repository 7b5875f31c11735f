"""Items in every situation that status.json tells apart, as the scheduler draws them. ``NOW`` is when we look."""

from __future__ import annotations

from dataclasses import replace

from ci_gate.model.build import Precedence, Worker
from ci_gate.model.change import Account, Change, ChangeKey, Periodic, PeriodicKey, RefKey, RefUpdate, Subject
from ci_gate.model.item import BuildView, ItemView, JobView, PipelineView, QueueView, StatusView
from ci_gate.model.layout import Job
from ci_gate.model.operations import (
    BuildStatistics,
    ConnectionHealth,
    ConnectionState,
    Operations,
    Stall,
    Trouble,
    UndeliveredReport,
    Wait,
)

NOW = 1767225682.4
UUID = "9f8e7d6c5b4a39281706f5e4d3c2b1a0"
REF = "Z0123456789abcdef0123456789abcdef"
NEWREV = "8c1d5e0f" * 5
ADA = Account("Ada", "ada@acme.test", "ada")


def change(number: int = 2041, patchset: int = 3, project: str = "acme/lib", owner: Account | None = ADA) -> Change:
    return Change(
        key=ChangeKey("review", str(number), str(patchset)),
        project=project,
        branch="master",
        refspec=f"refs/changes/{number % 100:02}/{number}/{patchset}",
        url=f"https://review.acme.test/{number}",
        owner=owner,
    )


def ref_update() -> RefUpdate:
    key = RefKey("review", "acme/lib", "refs/heads/master", NEWREV)
    return RefUpdate(key, oldrev="0" * 40, url=f"https://git.acme.test/acme/lib/commit/{NEWREV}")


def periodic() -> Periodic:
    return Periodic(PeriodicKey("review", "acme/lib"))


def waiting(name: str = "unit", **job: bool) -> JobView:
    return JobView(Job(name, **job))


def running(name: str = "unit", *, estimate_s: float | None = 60.0, since: float = NOW - 19, **job: bool) -> JobView:
    build = BuildView(
        uuid=UUID,
        job=name,
        number=77,
        url=f"https://ci.acme.test/job/{name}/77/",
        launched_at=since - 1.25,
        started_at=since,
        estimate_s=estimate_s,
        node_name="node-1",
        node_labels=("trusty",),
    )
    return JobView(Job(name, **job), build, f"https://logs.acme.test/41/2041/3/gate/{name}/9f8e7d6")


def finished(name: str = "unit", result: str = "SUCCESS", *, took_s: float = 125.5, **job: bool) -> JobView:
    view = running(name, since=NOW - 300, **job)
    assert view.build is not None
    ended = NOW - 300 + took_s
    worker = Worker("jenkins-1", "ci.acme.test", ("192.0.2.7",), "ci.acme.test", "Jenkins", "2.1", {"rack": "4"})
    return replace(view, build=replace(view.build, result=result, ended_at=ended, worker=worker))


def ended_at_once(name: str, result: str, *, uuid: str | None = UUID) -> JobView:
    """A job whose result the service itself knew: NOT_REGISTERED, noop, and (without uuid) SKIPPED."""
    return JobView(Job(name), BuildView(uuid, name, result=result, launched_at=NOW - 5, ended_at=NOW - 5), name)


def item(*jobs: JobView, subject: Subject | None = None, **fields: object) -> ItemView:
    values: dict[str, object] = {"enqueued_at": NOW - 21.15, "ref": REF, **fields}
    return ItemView(
        subject=subject or change(),
        pipeline="gate",
        precedence=Precedence.HIGH,
        queue="acme/app, acme/lib",
        jobs=jobs,
        **values,  # type: ignore[arg-type]  # factories take any field
    )


def queue_of(*heads: tuple[ItemView, ...], name: str = "acme/app, acme/lib", window: int = 20) -> QueueView:
    return QueueView(name, window, heads)


def view_of(*heads: tuple[ItemView, ...], **fields: object) -> StatusView:
    """One gate with one queue."""
    return StatusView((PipelineView("gate", None, (queue_of(*heads),)),), **fields)  # type: ignore[arg-type]  # same


def calm() -> Operations:
    """A service with everything up and nothing to tell."""
    return Operations(
        started_at=NOW - 3600,
        connections=(
            ConnectionHealth("review", "Gerrit stream", ConnectionState.UP, NOW - 3590),
            ConnectionHealth("127.0.0.1:4730", "Gearman", ConnectionState.UP, NOW - 3595),
            ConnectionHealth("embedded", "Merger", ConnectionState.UP, NOW - 3600),
        ),
        builds=BuildStatistics(running=1),
    )


def troubled() -> Operations:
    """A service whose Gerrit does not answer."""
    return Operations(
        started_at=NOW - 86400,
        connections=(
            ConnectionHealth(
                "review",
                "Gerrit stream",
                ConnectionState.CONNECTING,
                NOW - 312,
                "connection refused by review.acme.test",
            ),
            ConnectionHealth("127.0.0.1:4730", "Gearman", ConnectionState.UP, NOW - 3595),
            ConnectionHealth("embedded", "Merger", ConnectionState.DOWN, NOW - 40, "no space left in git_dir"),
        ),
        waits=(
            Wait("gerrit query 2041", "review", NOW - 14, 30.0),
            Wait("git fetch acme/lib", "merger", NOW - 2, 300.0),
        ),
        undelivered=(
            UndeliveredReport("2039,1", "check", "review", NOW - 290, 4, NOW + 60, "connection refused"),
            UndeliveredReport("1999,2", "check", "review", NOW - 900, 1, None, "fatal: change is closed"),
        ),
        troubles=(Trouble(NOW - 100, "review", "<b>broken</b> JSON line on the stream"),),
        stalls=(Stall("build:unit", 2, NOW - 75, 4),),
        builds=BuildStatistics(waiting=2, running=3, succeeded=40, failed=2, lost=1),
    )
