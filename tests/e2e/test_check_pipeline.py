"""The main job from end to end: what happens in Gerrit becomes builds, and builds become votes."""

from __future__ import annotations

import asyncio
import json
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from e2e_site import JOB, PROJECT, when

pytestmark = pytest.mark.e2e


async def test_a_new_patch_set_is_built_and_gets_its_vote(site):
    change = site.upload()
    await site.vote(change.number, +1)

    (build,) = site.builds(change.number)
    assert build.job == JOB
    assert build.commit == build.parameters["ZUUL_COMMIT"], "the worker really checked the merged commit out"
    (report,) = await site.reports(change.number, 1)
    logs = f"http://logs.example.org/{build.parameters['LOG_PATH']}"
    assert report.startswith("Build succeeded.\n\n")
    assert f"- {JOB} {logs} : SUCCESS in " in report
    assert build.parameters["LOG_PATH"] == f"01/{change.number}/1/check/{JOB}/{build.uuid[:7]}"


async def test_the_very_first_status_names_every_connection(site):
    """Who waits for all of them to be up must not be told so by a list that is not complete yet."""
    await site.world.stop_service()
    starting = asyncio.create_task(site.world.start_service())

    async def first_status() -> dict:
        while True:
            try:
                return await asyncio.to_thread(site.status)
            except urllib.error.URLError:
                await asyncio.sleep(0.001)

    told = (await first_status())["ci_gate"]
    assert {each["kind"] for each in told["connections"]} == {"Gerrit stream", "Gearman"}
    assert [each["name"] for each in told["catch_ups"]] == ["gerrit"]
    await starting


async def test_a_failing_build_gets_its_vote_and_says_how_to_run_again(site):
    site.jenkins.add_job(JOB, "false")
    change = site.upload()
    await site.vote(change.number, -1)
    (report,) = await site.reports(change.number, 1)
    assert ": FAILURE in " in report
    assert "leave a comment: recheck-DEMO" in report


async def test_each_recheck_comment_runs_the_jobs_again(site):
    change = site.upload()
    await site.vote(change.number, +1)
    comments = ("recheck", "Recheck bug 123", "recheck no bug", "recheck-DEMO", "Thanks!\n\nrecheck-demo")
    for runs, comment in enumerate(comments, 2):
        site.gerrit.comment(change.number, by="dev", message=comment)
        await site.reports(change.number, runs)
        assert len(site.builds(change.number)) == runs, comment


async def test_other_comments_branches_and_our_own_report_start_nothing(site):
    change = site.upload()
    await site.vote(change.number, +1)
    for text in ("please recheck this", "recheck-OTHER", "recheck bugs", "looks good"):
        site.gerrit.comment(change.number, by="dev", message=text)
    site.gerrit.update_ref(PROJECT, "refs/heads/stable", site.gerrit.head(PROJECT))
    elsewhere = site.upload(branch="stable")
    last = site.upload({"other": "y\n"})
    await site.vote(last.number, +1)  # events keep their order: all the others have been looked at
    assert len(site.builds(change.number)) == 1
    assert site.builds(elsewhere.number) == []
    assert len(site.ours(change.number)) == 1


async def test_a_restored_change_is_tested_again(site):
    change = site.upload()
    await site.vote(change.number, +1)
    site.gerrit.abandon(change.number, by="dev")
    site.gerrit.restore(change.number, by="dev")
    await site.reports(change.number, 2)
    assert len(site.builds(change.number)) == 2


async def test_the_merged_ref_is_fetched_by_a_real_git(site, tmp_path):
    site.jenkins.hold(JOB)
    base = site.gerrit.head(PROJECT)
    change = site.upload({"file": "x\n"}, parent=base)
    site.gerrit.push(PROJECT, {"elsewhere": "y\n"}, "Move master on", by="dev")
    site.gerrit.comment(change.number, by="dev", message="recheck")
    build = await site.jenkins.running(JOB)
    repository = tmp_path / "clone"
    parameters = build.parameters

    def git(*arguments):
        command = ["git", "-C", str(repository), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    repository.mkdir()
    git("init", "--quiet")
    await asyncio.to_thread(
        git, "fetch", "--quiet", f"{parameters['ZUUL_URL']}/{parameters['ZUUL_PROJECT']}", parameters["ZUUL_REF"]
    )
    assert git("rev-parse", "FETCH_HEAD") == parameters["ZUUL_COMMIT"]
    assert "file" in git("ls-tree", "--name-only", "FETCH_HEAD").split()
    site.jenkins.release(JOB)


@pytest.mark.parametrize(
    "path", ["p/no/such/info/refs", "p/../../etc/passwd", "p/%2e%2e/%2e%2e/etc/passwd", "p/example/project/config"]
)
async def test_unknown_and_escaping_paths_are_not_found(site, path):
    with pytest.raises(urllib.error.HTTPError) as refused:
        await asyncio.to_thread(read, site.world.url + path)
    assert refused.value.code == 404


async def test_a_newer_patch_set_replaces_the_older_one(site):
    site.jenkins.hold(JOB)
    change = site.upload()
    first = await site.jenkins.running(JOB)
    site.gerrit.create_patch_set(change.number, {"file": "better\n"})
    await when(lambda: not first.running, "the end of the build of the first patch set")
    assert first.result == "ABORTED"
    second = await site.jenkins.running(JOB)
    assert second.parameters["ZUUL_PATCHSET"] == "2"
    site.jenkins.release(JOB)
    await site.vote(change.number, +1)
    assert len(site.ours(change.number)) == 1, "nothing is said of the patch set that was replaced"


async def test_a_change_that_does_not_merge_is_told_so_and_not_built(site):
    base = site.gerrit.head(PROJECT)
    site.gerrit.push(PROJECT, {"README": "one\nTWO\nthree\n"}, "Say it louder", by="dev")
    change = site.upload({"README": "one\nzwei\nthree\n"}, parent=base)
    await site.vote(change.number, -1)
    (report,) = await site.reports(change.number, 1)
    assert report.startswith("Merge Failed.")
    assert site.builds(change.number) == []


async def test_the_status_shows_what_runs(site):
    site.jenkins.hold(JOB)
    change = site.upload()
    build = await site.jenkins.running(JOB)

    async def job():
        status = json.loads(await asyncio.to_thread(read, f"{site.world.url}status.json"))
        (pipeline,) = status["pipelines"]
        items = [item for queue in pipeline["change_queues"] for head in queue["heads"] for item in head]
        return items[0] if items and items[0]["jobs"][0]["url"] else None

    for _ in range(200):
        if item := await job():
            break
        await asyncio.sleep(0.05)
    assert item["id"] == f"{change.number},1"
    assert item["zuul_ref"] == build.parameters["ZUUL_REF"].rpartition("/")[2]
    assert item["jobs"][0]["name"] == JOB
    page = (await asyncio.to_thread(read, site.world.url)).decode()
    assert "<title>" in page
    site.jenkins.release(JOB)
    await site.vote(change.number, +1)


async def test_a_parameter_function_that_raises_fails_the_build_with_its_words(idle_site):
    functions = idle_site.world.folder / "functions.py"
    functions.write_text("def set_log_url(item, job, params):\n    raise KeyError('no such node')\n")
    await idle_site.start()
    change = idle_site.upload()
    await idle_site.vote(change.number, -1)
    (report,) = await idle_site.reports(change.number, 1)
    assert "set_log_url" in report
    assert "no such node" in report
    assert idle_site.builds(change.number) == []


async def test_the_service_stops_cleanly_and_leaves_no_process_behind(site):
    pid = site.world.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    assert children, "the embedded job server is a process of its own"
    assert await site.world.stop_service() == 0
    for child in children:
        await when(lambda child=child: not Path(f"/proc/{child}").exists(), "the end of the job server")
    assert "stopped" in site.world.end_of_log()


def read(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read()
