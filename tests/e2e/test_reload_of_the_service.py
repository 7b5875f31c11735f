"""SIGHUP and ``ci-gate reload``: a good layout takes over beside builds, a broken one leaves all as it was."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE

import pytest
from e2e_site import JOB, when

pytestmark = pytest.mark.e2e


def rewrite(site, old: str, new: str) -> None:
    path = site.world.folder / "layout.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


async def test_a_new_job_joins_what_is_running(site):
    site.jenkins.add_job("gate-more")
    site.jenkins.hold(JOB)
    change = site.upload()
    build = await site.jenkins.running(JOB)
    rewrite(site, f"      - {JOB}\n", f"      - {JOB}\n      - gate-more\n")
    site.world.hang_up()
    await when(lambda: len(site.builds(change.number)) == 2, "the build of the new job")
    assert build.running, "what was running goes on"
    site.jenkins.release(JOB)
    await site.vote(change.number, +1)
    (report,) = await site.reports(change.number, 1)
    assert "gate-more" in report
    assert site.builds(change.number)[1].parameters["ZUUL_REF"] == build.parameters["ZUUL_REF"]


async def test_a_broken_layout_stays_outside_and_is_told_of_until_it_is_mended(site):
    rewrite(site, "event: patchset-created", "event: patchset-made")
    site.world.hang_up()
    message = await when(lambda: site.status().get("message"), "the refusal on the status page")
    assert "patchset-made" in message
    assert "layout.yaml:" in message
    change = site.upload()
    await site.vote(change.number, +1)
    rewrite(site, "event: patchset-made", "event: patchset-created")
    before = site.status()["last_reconfigured"]
    site.world.hang_up()
    await when(lambda: "message" not in site.status(), "the message to go")
    await when(lambda: site.status()["last_reconfigured"] > before, "the new layout to be in force")


async def command(site, *arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ci_gate", "reload", "-c", str(site.world.config), *arguments, stdout=PIPE, stderr=PIPE
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_the_command_waits_until_the_layout_is_in_force_and_leads_back(site):
    assert await command(site, "--previous") == (1, "", "no other layout was in force since the service started\n")
    site.jenkins.add_job("gate-more")
    site.jenkins.hold(JOB)
    change = site.upload()
    await site.jenkins.running(JOB)
    rewrite(site, f"      - {JOB}\n", f"      - {JOB}\n      - gate-more\n")
    assert await command(site) == (0, "the layout is in force; items kept: 1, removed: 0\n", "")
    await when(lambda: len(site.builds(change.number)) == 2, "the build of the new job")
    assert (await command(site, "--previous"))[0] == 0
    site.jenkins.release(JOB)
    await site.vote(change.number, +1)
    (report,) = await site.reports(change.number, 1)
    assert "gate-more" not in report


async def test_the_command_tells_every_reason_of_a_refusal(site):
    rewrite(site, "event: patchset-created", "event: patchset-made")
    status, out, err = await command(site)
    assert (status, out) == (1, "")
    assert "layout.yaml:" in err
    assert "patchset-made" in err
    assert err.endswith("nothing was changed: the layout before is in force\n")


async def test_a_second_service_in_the_same_folder_is_refused(site):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ci_gate", "serve", "-c", str(site.world.config), stdout=PIPE, stderr=PIPE
    )
    _, err = await process.communicate()
    assert process.returncode == 1
    assert f"works in {site.world.config.parent / 'state'}; stop it, or give this one" in err.decode()


async def test_new_functions_come_with_the_layout(site):
    functions = site.world.folder / "functions.py"
    functions.write_text("def set_log_url(item, job, params):\n    params['LOG_PATH'] = 'elsewhere'\n")
    before = site.status()["last_reconfigured"]
    site.world.hang_up()
    await when(lambda: site.status()["last_reconfigured"] > before, "the new layout to be in force")
    change = site.upload()
    await site.vote(change.number, +1)
    assert site.builds(change.number)[0].parameters["LOG_PATH"] == "elsewhere"
