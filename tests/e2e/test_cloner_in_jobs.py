"""A job that prepares its working copies by the cloner, from what the service gives it in its environment."""

from __future__ import annotations

import subprocess
import sys

import pytest
from e2e_site import JOB, PROJECT

pytestmark = pytest.mark.e2e

OTHER = "example/other"


async def test_a_job_clones_what_the_service_merged(site, tmp_path):
    """The project of the change as merged; another one, which the service never had to merge, as it is upstream."""
    site.gerrit.create_project(OTHER, {"README": "other\n"})
    path = str(site.gerrit.repository_path(PROJECT))
    base = path[: path.index(PROJECT)]
    workspace = tmp_path / "copies"
    cloner = f"{sys.executable} -m ci_gate cloner --workspace {workspace} {base} {PROJECT} {OTHER}"
    site.jenkins.add_job(JOB, f"{cloner} > {tmp_path}/log 2>&1")
    change = site.upload({"file": "changed\n"})
    await site.reports(change.number, 1)
    assert site.vote_of(change.number) == 1, (tmp_path / "log").read_text()
    (build,) = site.builds(change.number)
    assert head(workspace / PROJECT) == build.parameters["ZUUL_COMMIT"]
    assert (workspace / PROJECT / "file").read_text() == "changed\n"
    assert head(workspace / OTHER) == site.gerrit.head(OTHER, "master")


def head(copy) -> str:
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=copy, capture_output=True, text=True, check=True)
    return done.stdout.strip()
