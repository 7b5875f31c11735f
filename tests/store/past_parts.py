"""Build sets that have ended, with good defaults."""

from __future__ import annotations

from ci_gate.model.history import PastBuild, PastBuildSet


def build(job: str = "unit", result: str = "SUCCESS", **known) -> PastBuild:
    given = {"voting": True, "started_at": 100.0, "ended_at": 160.0, "log_url": f"http://logs/{job}"}
    return PastBuild(job, known.pop("uuid", f"{job}-uuid"), result, **{**given, **known})


def past(number: int = 1, *builds: PastBuild, **known) -> PastBuildSet:
    given = {
        "item": f"item-{number}",
        "uuid": f"Z{number}",
        "at": 200.0 + number,
        "enqueued_at": 90.0,
        "pipeline": "check",
        "project": "org/app",
        "result": "SUCCESS",
        "zuul_ref": f"Z{number}",
        "branch": "master",
        "change": str(number),
        "patchset": "1",
        "ref": f"refs/changes/01/{number}/1",
        "builds": builds,
    }
    return PastBuildSet(**{**given, **known})
