"""The build history in the journal's database: what was written once is written again to the same rows.

Rows are told by identifiers, and are replaced in one transaction with the note up to which step all is there
(``progress``): what a crash left out is found in the journal, and writing it twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert

from ci_gate.model.history import PastBuild, PastBuildSet
from ci_gate.store.tables import past_build_sets, past_builds, past_items

HISTORY = "history"
LONGEST_NAME = 400  # of jobs and projects
LARGEST_INTEGER = 2**63 - 1
LARGEST_SCORE = 2**31 - 1
AT_ONCE = 500  # identifiers in one statement

Row = dict[str, Any]


def write(connection: Connection, past: Sequence[PastBuildSet]) -> None:
    """Within the caller's transaction. Of several about one item or build set the last counts."""
    items = {each.item: _item_row(each) for each in past}
    sets = {each.uuid: each for each in past}
    for identifiers in _portions(list(items)):
        connection.execute(delete(past_items).where(past_items.c.uuid.in_(identifiers)))
    for identifiers in _portions(list(sets)):
        connection.execute(delete(past_build_sets).where(past_build_sets.c.uuid.in_(identifiers)))
        connection.execute(delete(past_builds).where(past_builds.c.buildset_uuid.in_(identifiers)))
    if not past:
        return
    connection.execute(insert(past_items), list(items.values()))
    connection.execute(insert(past_build_sets), [_build_set_row(each) for each in sets.values()])
    rows = {(row["buildset_uuid"], row["job_name"]): row for each in sets.values() for row in _build_rows(each)}
    if rows:
        connection.execute(insert(past_builds), list(rows.values()))


def trim(connection: Connection, before: float) -> int:
    """Forget what ended before a time (seconds since the epoch); how many builds that were."""
    gone = connection.execute(delete(past_builds).where(past_builds.c.at < before)).rowcount
    connection.execute(delete(past_build_sets).where(past_build_sets.c.at < before))
    connection.execute(delete(past_items).where(past_items.c.at < before))
    return gone


def _portions(identifiers: list[str]) -> list[list[str]]:
    return [identifiers[start : start + AT_ONCE] for start in range(0, len(identifiers), AT_ONCE)]


def _item_row(past: PastBuildSet) -> Row:
    return {
        "uuid": past.item,
        "pipeline": _clean(past.pipeline),
        "project": (_clean(past.project) or "")[:LONGEST_NAME],
        "branch": _clean(past.branch),
        "change": _number(past.change),
        "patchset": _number(past.patchset),
        "ref": _clean(past.ref),
        "newrev": _clean(past.newrev),
        "url": _clean(past.url),
        "enqueued_at": past.enqueued_at,
        "at": past.at,
        "result": None if past.again else _clean(past.result),
    }


def _build_set_row(past: PastBuildSet) -> Row:
    return {
        "uuid": past.uuid,
        "item_uuid": past.item,
        "at": past.at,
        "result": _clean(past.result),
        "zuul_ref": _clean(past.zuul_ref),
        "commit": _clean(past.commit),
        "score": None if past.score is None else max(-LARGEST_SCORE, min(past.score, LARGEST_SCORE)),
        "message": _clean(past.message),
    }


def _build_rows(past: PastBuildSet) -> list[Row]:
    return [_build_row(past, each) for each in past.builds]


def _build_row(past: PastBuildSet, build: PastBuild) -> Row:
    return {
        "buildset_uuid": past.uuid,
        "job_name": (_clean(build.job) or "")[:LONGEST_NAME],
        "uuid": build.uuid,
        "at": past.at if build.ended_at is None else build.ended_at,
        "result": _clean(build.result),
        "voting": build.voting,
        "launch_time": build.launched_at,
        "start_time": build.started_at,
        "end_time": build.ended_at,
        "log_url": _clean(build.log_url),
        "url": _clean(build.url),
        "number": build.number if build.number is None or abs(build.number) <= LARGEST_INTEGER else None,
        "node_name": _clean(build.node_name),
        "node_labels": _clean(" ".join(build.node_labels)),
        "worker": _clean(build.worker),
        "worker_host": _clean(build.worker_host),
        "reason": _clean(build.reason),
    }


def _clean(text: str | None) -> str | None:
    """PostgreSQL takes no NUL, and nobody takes half a surrogate pair."""
    return None if text is None else text.replace("\0", "").encode("utf-8", "replace").decode()


def _number(text: str | None) -> int | None:
    if text is None or not (text.isascii() and text.isdigit()) or len(text) > len(str(LARGEST_INTEGER)):
        return None
    return int(text) if int(text) <= LARGEST_INTEGER else None
