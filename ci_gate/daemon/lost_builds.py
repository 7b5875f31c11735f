"""Where builds are looked for that the job server lost: at Jenkins, if the settings name one."""

from __future__ import annotations

from contextlib import AsyncExitStack

from ci_gate.config.settings import Settings
from ci_gate.model.elsewhere import Elsewhere


def start_records(settings: Settings, parts: AsyncExitStack) -> Elsewhere | None:
    """None: nowhere. The built-in job server keeps what builds ended with. ``parts`` ends it."""
    if settings.gearman_server.start or not settings.jenkins:
        return None
    from ci_gate.jenkins.records import JenkinsRecords  # noqa: PLC0415  # HTTP only where it is used

    records = JenkinsRecords(settings.jenkins)
    parts.push_async_callback(records.close)
    return records
