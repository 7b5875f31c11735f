"""Operators' commands from end to end: the command, the socket, the scheduler, and what it does."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE

import pytest
from e2e_site import JOB, PROJECT, when

pytestmark = pytest.mark.e2e


async def command(site, *arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ci_gate", *arguments, "-c", str(site.world.config), stdout=PIPE, stderr=PIPE
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


def of(change) -> tuple[str, ...]:
    return ("--pipeline", "check", "--project", PROJECT, "--change", f"{change.number},1")


async def test_a_change_is_put_in_shown_and_taken_out_by_hand(site):
    change = site.upload()
    await site.vote(change.number, +1)
    site.jenkins.hold(JOB)
    status, out, err = await command(site, "enqueue", "--trigger", "gerrit", *of(change))
    assert (status, out, err) == (0, f"{change.number},1 in check: entered the pipeline, behind nothing\n", "")
    await site.jenkins.running(JOB)
    await when(
        lambda: site.status()["pipelines"][0]["change_queues"][0]["heads"][0][0]["jobs"][0]["start_time"], "start"
    )
    status, out, _ = await command(site, "show", "running-jobs")
    head, row = out.splitlines()
    assert (status, head.split()) == (0, ["name", "worker.name", "start_time", "result"])
    assert row.startswith(JOB)
    status, out, _ = await command(site, "show", "running-jobs", "--format", "json")
    assert [each["name"] for each in json.loads(out)] == [JOB]
    status, out, _ = await command(site, "dequeue", *of(change))
    assert (status, out) == (0, f"{change.number},1 left check; its builds are cancelled\n")
    await site.nothing_left()
    assert await command(site, "show", "running-jobs") == (0, "No jobs are running.\n", "")
    site.jenkins.release(JOB)


async def test_what_does_not_exist_is_told_and_nothing_happens(site):
    given = ("--trigger", "x", "--pipeline", "y", "--project", "z", "--change", "1,1")
    assert await command(site, "enqueue", *given) == (
        1,
        "",
        "Invalid trigger: x\nInvalid project: z\nInvalid pipeline: y\n",
    )
    status, _, err = await command(site, "promote", "--pipeline", "check", "--changes", "9,9")
    assert (status, err) == (1, "9,9 is not in check\n")
    status, _, err = await command(site, "show", "running-jobs", "--columns", "colour")
    assert (status, err.splitlines()[0].split(";")[0]) == (2, "ci-gate show: unknown column colour")
    ref = ("--trigger", "gerrit", "--pipeline", "check", "--project", PROJECT, "--ref", "master")
    status, _, err = await command(site, "enqueue-ref", *ref)
    assert (status, err) == (2, "ci-gate enqueue-ref: --oldrev and --newrev must differ: name at least one\n")


async def test_a_change_is_explained_from_its_event_to_its_report(site):
    change = site.upload()
    await site.vote(change.number, +1)
    await site.nothing_left()
    status, out, _ = await command(site, "explain", f"{change.number},1", "--pipeline", "check")
    told = [line.split("  ", 3)[3] for line in out.splitlines()]
    assert status == 0
    assert told[0] == "the event patchset-created is accepted by a filter of trigger gerrit"
    assert told[1] == "entered the pipeline, behind nothing"
    assert told[2].startswith("merged for testing as ")
    assert told[3].startswith(f"job {JOB} launched as ")
    assert told[4:6] == [f"job {JOB} ended: SUCCESS", "reported: SUCCESS"]
    status, out, _ = await command(site, "explain", str(change.number), "--format", "json")
    assert {"accepted", "entered", "merged", "launched", "reported"} <= {each["code"] for each in json.loads(out)}
    status, _, err = await command(site, "explain", "4711")
    assert (status, err) == (1, "nothing is known of 4711: no event about it has come since the service started\n")
