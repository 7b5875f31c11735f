"""A site whose mergers run on other hosts: the service sends merges over Gearman (merger.md 2, ci-conf.md 3)."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager

import pytest
from e2e_site import EXAMPLES, PROJECT, Site, when

from ci_gate.sandbox.world import World

pytestmark = pytest.mark.e2e

FETCHES = """
git init -q . &&
git fetch -q "$ZUUL_URL/$ZUUL_PROJECT" "$ZUUL_REF" &&
test "$(git rev-parse FETCH_HEAD)" = "$ZUUL_COMMIT"
"""
ELSEWHERE = {"embedded-false": {("merger", "embedded"): "false"}, "no-url": {("zuul", "zuul_url"): ""}}


@pytest.fixture(params=ELSEWHERE.values(), ids=ELSEWHERE)
async def site(tmp_path, request):
    """The service runs, and does not merge itself."""
    async with World(tmp_path, EXAMPLES, settings=request.param) as world:
        site = Site(world)
        await site.start(FETCHES)
        yield site


@asynccontextmanager
async def merger(world: World, name: str = "merger"):
    """A merger on another host, served as files."""
    folder = world.folder / name
    text = world.config.read_text().replace(f"zuul_url={world.url}p", "").replace("zuul_url=\n", "\n")
    text = text.replace("embedded=false", "").replace("[merger]", "")
    config = world.folder / f"{name}.conf"
    config.write_text(f"{text}\n[merger]\ngit_dir={folder}\nzuul_url=file://{folder}\n")
    with (world.folder / f"{name}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "ci_gate", "merger", "--config", str(config), stderr=log
        )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


async def test_changes_are_merged_by_a_merger_elsewhere_and_fetched_from_there(site):
    async with merger(site.world):
        change = site.upload()
        await site.vote(change.number, +1)
    (build,) = site.builds(change.number)
    assert build.parameters["ZUUL_URL"] == f"file://{site.world.folder}/merger"


async def test_a_conflict_is_told_with_its_files(site):
    async with merger(site.world):
        base = site.gerrit.head(PROJECT)
        site.gerrit.push(PROJECT, {"README": "theirs\n"}, "Change it upstream", by="dev")
        change = site.upload({"README": "mine\n"}, parent=base)
        (report,) = await site.reports(change.number, 1)
        assert report.startswith("Merge Failed.")
        assert "- README" in report


async def test_merges_wait_for_the_first_merger_to_come(site):
    change = site.upload()
    await when(lambda: "merge of" in str(site.status()["ci_gate"]), "a merge that waits")
    async with merger(site.world):
        await site.vote(change.number, +1)


async def test_the_service_says_that_it_does_not_merge(site):
    said = site.world.log.read_text()
    assert ("mergers must run elsewhere" in said) == ("zuul_url=\n" in site.world.config.read_text())
