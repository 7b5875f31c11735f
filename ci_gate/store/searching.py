"""Looking for builds in the history, which a service may be writing: nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, Select, select

from ci_gate.store.reading import opened
from ci_gate.store.tables import past_build_sets as sets
from ci_gate.store.tables import past_builds as builds
from ci_gate.store.tables import past_items as items

SINCE_VERSION = "0003"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What builds have to be; None: not asked. Times are seconds since the epoch, both included.

    ``result`` is compared whatever the case.
    """

    project: str | None = None
    change: int | None = None
    patchset: int | None = None
    pipeline: str | None = None
    job: str | None = None
    result: str | None = None
    branch: str | None = None
    since: float | None = None
    until: float | None = None
    limit: int = 50


def find_builds(engine: Engine, wanted: Wanted) -> list[dict[str, Any]]:
    """Newest first. The keys are those of Zuul's results database and what the history has besides.

    Raises NoJournalError, SchemaError, and what SQLAlchemy raises.
    """
    connection = opened(engine, least=SINCE_VERSION)
    try:
        with connection.begin():
            return [dict(row) for row in connection.execute(_query(wanted)).mappings()]
    finally:
        connection.close()


def _query(wanted: Wanted) -> Select[Any]:
    columns = (
        *(builds.c.uuid, builds.c.job_name, builds.c.result, builds.c.voting, builds.c.at),
        *(builds.c.launch_time, builds.c.start_time, builds.c.end_time),
        *(builds.c.log_url, builds.c.url, builds.c.number),
        *(builds.c.node_name, builds.c.node_labels, builds.c.worker, builds.c.worker_host, builds.c.reason),
        *(items.c.pipeline, items.c.project, items.c.branch, items.c.change, items.c.patchset, items.c.ref),
        *(items.c.newrev, items.c.enqueued_at, items.c.url.label("change_url"), items.c.uuid.label("item_uuid")),
        *(sets.c.uuid.label("buildset_uuid"), sets.c.result.label("buildset_result")),
        *(sets.c.zuul_ref, sets.c.commit, sets.c.score, sets.c.message),
    )
    equal = (
        (items.c.project, wanted.project),
        (items.c.change, wanted.change),
        (items.c.patchset, wanted.patchset),
        (items.c.pipeline, wanted.pipeline),
        (items.c.branch, wanted.branch),
        (builds.c.job_name, wanted.job),
        (builds.c.result, wanted.result.upper() if wanted.result else None),
    )
    query = select(*columns).select_from(
        builds.join(sets, builds.c.buildset_uuid == sets.c.uuid).join(items, sets.c.item_uuid == items.c.uuid)
    )
    query = query.where(*(column == value for column, value in equal if value is not None))
    if wanted.since is not None:
        query = query.where(builds.c.at >= wanted.since)
    if wanted.until is not None:
        query = query.where(builds.c.at <= wanted.until)
    return query.order_by(builds.c.at.desc(), builds.c.buildset_uuid, builds.c.job_name).limit(wanted.limit)
