"""What became of items, for the build history: kept for people long after the record of the steps is gone."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PastBuild:
    """A build as it ended. Times are seconds since the epoch; ``uuid`` None: nothing was ever launched.

    ``log_url`` is what reports link to, ``url`` what the worker named.
    """

    job: str
    uuid: str | None
    result: str
    voting: bool
    log_url: str = ""
    url: str | None = None
    number: int | None = None
    launched_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    node_name: str | None = None
    node_labels: tuple[str, ...] = ()
    worker: str | None = None
    worker_host: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PastBuildSet:
    """One attempt to test an item, as it ended ``at`` (seconds since the epoch). ``item`` and ``uuid`` never repeat.

    ``result`` is the attempt's; it is the item's too unless ``again``: the item was to be tested on another base.
    ``message`` is the report's text without job lines, ``score`` the first vote or score of its reporters; what the
    subject does not have is None.
    """

    item: str
    uuid: str
    at: float
    enqueued_at: float
    pipeline: str
    project: str
    result: str
    again: bool = False
    message: str = ""
    score: int | None = None
    zuul_ref: str | None = None
    commit: str | None = None
    branch: str | None = None
    change: str | None = None
    patchset: str | None = None
    ref: str | None = None
    newrev: str | None = None
    url: str | None = None
    builds: tuple[PastBuild, ...] = ()
