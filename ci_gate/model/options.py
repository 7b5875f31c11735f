"""Settings that decide, so that the scheduler takes them too (``[zuul]`` of ci.conf)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SchedulerSettings:
    """The keys of ``[zuul]`` that decide or shape what is reported. Times are seconds."""

    report_times: bool = True
    status_url: str | None = None
    url_pattern: str | None = None
    job_name_in_report: bool = False
    noop_joins_queues: bool = False
    reject_requires_votes: bool = False
    report_without_jobs: bool = False
    depends_on_urls: bool = False
    report_cycles: bool = False
    replication_timeout_s: float = 300.0
    replication_retry_interval_s: float = 5.0
    shadow: bool = False
