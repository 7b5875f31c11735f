"""The doctor at a simulated Jenkins: account, parameters, and triggers that would build twice."""

from __future__ import annotations

import pytest
from doctor_parts import LAYOUT, assert_good, assert_wrong

from ci_gate.config.gerrit_trigger import TRIGGER
from ci_gate.doctor.check import Mark
from ci_gate.sandbox.jenkins_rest import JenkinsRest, RestJob


@pytest.fixture
async def jenkins(bare_site):
    made = JenkinsRest()
    await made.start()
    bare_site.values["jenkins main"] = {"url": made.url, "user": "gate", "token": "token-1"}
    yield made
    await made.stop()


def trigger(job: RestJob) -> None:
    job.config = job.config.replace("<builders/>", f"<triggers><{TRIGGER}/></triggers><builders/>")


async def test_a_jenkins_that_is_set_up_well_is_good(bare_site, jenkins):
    jenkins.add("unit")
    trigger(jenkins.add("of-others"))
    found = await bare_site.look()
    assert_good(found["Jenkins main/account"], "gate sees 2 jobs")
    assert_good(found["Jenkins main/jobs"], "1 of the layout's 1 job")
    assert_good(found["Jenkins main/Gerrit Trigger"])
    assert not [each for each in jenkins.requests if each.startswith("POST")]


async def test_a_job_that_still_carries_a_gerrit_trigger_is_wrong_with_the_command_that_takes_it_out(
    bare_site, jenkins
):
    jenkins.add("style")
    trigger(jenkins.add("unit"))
    bare_site.write_layout(LAYOUT.replace("[unit, noop]", "[unit, style]"))
    finding = (await bare_site.look())["Jenkins main/Gerrit Trigger"]
    assert_wrong(finding, "build twice: unit", "ci-gate migrate gerrit-trigger --jenkins main --disable-triggers")
    assert finding.items == ("unit",)


async def test_jobs_in_folders_are_found_by_job_path(bare_site, jenkins):
    trigger(jenkins.add("ci/unit"))
    jenkins.add("unit")
    bare_site.values["jenkins main"]["job_path"] = "ci/{job}"
    found = await bare_site.look()
    assert found["Jenkins main/Gerrit Trigger"].items == ("ci/unit",)


async def test_jobs_whose_configuration_cannot_be_read_are_not_called_free_of_triggers(bare_site, jenkins):
    job = jenkins.add("unit")
    job.config = "<project><unfinished>"
    finding = (await bare_site.look())["Jenkins main/Gerrit Trigger"]
    assert finding.mark is Mark.UNKNOWN
    assert finding.items == ("unit",)


async def test_a_wrong_token_is_told_with_its_place(bare_site, jenkins):
    bare_site.values["jenkins main"]["token"] = "token-2"
    found = await bare_site.look()
    assert_wrong(found["Jenkins main/account"], "401", "correct user and token in [jenkins main]")
    assert found["Jenkins main/jobs"].mark is Mark.NOT_TRIED
    assert not [each for each in found.values() if "token-2" in each.text + each.fix]


async def test_a_jenkins_that_is_not_there_is_wrong(bare_site, jenkins):
    await jenkins.stop()
    assert_wrong((await bare_site.look())["Jenkins main/account"], "cannot be asked", jenkins.url)


async def test_a_token_file_that_is_missing_is_wrong(bare_site, jenkins, tmp_path):
    del bare_site.values["jenkins main"]["token"]
    bare_site.values["jenkins main"]["token_file"] = str(tmp_path / "none")
    assert_wrong((await bare_site.look())["Jenkins main/account"], "none", "No such file")


async def test_a_jenkins_that_prepares_for_shutdown_is_wrong(bare_site, jenkins):
    jenkins.quieting_down = True
    assert_wrong((await bare_site.look())["Jenkins main/account"], "shutdown")


async def test_jobs_without_our_parameters_are_named_with_the_command_that_adds_them(bare_site, jenkins):
    jenkins.add("unit", declared=["OTHER"])
    assert_wrong((await bare_site.look())["Jenkins main/jobs"], "ZUUL_UUID", "unit", "--declare-parameters")


async def test_a_disabled_job_is_wrong(bare_site, jenkins):
    jenkins.add("unit", disabled=True)
    assert_wrong((await bare_site.look())["Jenkins main/jobs"], "disabled", "unit")
