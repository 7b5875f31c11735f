"""Decisions as lines of the log: what was done at info, why something was not done at debug."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from ci_gate.scheduler.explain import Code, Decision

PROBLEMS = frozenset(
    {
        Code.QUERY_REFUSED,
        Code.MERGE_REPEATED,
        Code.NOT_MERGED,
        Code.BUILD_LOST,
        Code.REPORT_REPEATED,
        Code.REPORT_GIVEN_UP,
        Code.PIPELINE_DISABLED,
        Code.PATTERN_FAILED,
    }
)
ACTIONS = frozenset(
    {
        Code.ENTERED,
        Code.SUPERSEDED,
        Code.ABANDONED,
        Code.DELETED,
        Code.DEQUEUED,
        Code.PROMOTED,
        Code.REMOVED,
        Code.JOB_REMOVED,
        Code.NO_JOBS,
        Code.MERGED,
        Code.LAUNCHED,
        Code.BUILD_ENDED,
        Code.WAITS_FOR_MUTEX,
        Code.REPORTED,
        Code.SILENT,
        Code.NOT_REVIEWED,
    }
)

log = structlog.stdlib.get_logger("zuul.Scheduler")


def log_decisions(decisions: Iterable[Decision]) -> None:
    for each in decisions:
        if each.code in PROBLEMS:
            write = log.warning
        elif each.code in ACTIONS:
            write = log.info
        else:
            write = log.debug
        write(each.text, subject=each.subject, pipeline=each.pipeline)
