"""The doctor at a real Gerrit: what one tells a plain CI account by reading, over SSH and over REST."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from gerrit_people import CI, PROJECTS

pytestmark = [pytest.mark.real_gerrit, pytest.mark.timeout(180)]

PASSWORD = {("gerrit", "password"): f"{CI}-secret"}
HTTP_ALONE = {
    **PASSWORD,
    ("gerrit", "port"): "1",
    ("gerrit", "sshkey"): str(Path("/nowhere")),
    ("gerrit", "stream"): "webhooks",
    ("gerrit", "webhook_secret"): "0123456789abcdef",
    ("gerrit", "reconcile_interval"): "1",
}
CLOSED = "demo/closed"


async def look(site) -> tuple[int, dict[str, dict]]:
    """Its exit status, and what it finds by ``group/name``."""
    command = [sys.executable, "-m", "ci_gate", "doctor", "--config", str(site.world.config), "--format", "json"]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    printed, _ = await process.communicate()
    return process.returncode, {f"{each['group']}/{each['name']}": each for each in json.loads(printed)["checks"]}


def add_project(site, name: str) -> None:
    layout = site.world.folder / "layout.yaml"
    layout.write_text(f"{layout.read_text()}\n  - {{name: {name}, check: [unit]}}\n")


@pytest.fixture
async def open_changes(site, review):
    """One in each project, with the service's vote."""
    numbers = [review.upload(project, {f"file-{secrets.token_hex(6)}": "x\n"}) for project in PROJECTS]
    for number in numbers:
        await site.vote(number, +1)
    return numbers


@pytest.fixture
def closed(review):
    """A project in which only others may vote Verified."""
    rest, project = review.server.rest, f"projects/{quote(CLOSED, safe='')}"
    if CLOSED not in rest("GET", "projects/"):
        rest("PUT", project, {"create_empty_commit": True, "branches": ["master"]})
        core = rest("GET", "groups/Core")["id"]
        rule = {"label": "Verified", "exclusive": True, "rules": {core: {"action": "ALLOW", "min": -1, "max": 1}}}
        rest("POST", f"{project}/access", {"add": {"refs/heads/*": {"permissions": {"label-Verified": rule}}}})
    review.upload(CLOSED, {f"file-{secrets.token_hex(6)}": "x\n"})


@pytest.mark.parametrize("site", [PASSWORD], indirect=True)
async def test_a_healthy_site_is_good_and_only_the_right_to_submit_cannot_be_told(site, review, open_changes):
    before = [review.details(each, "DETAILED_LABELS", "MESSAGES") for each in open_changes]
    status, found = await look(site)
    assert status == 0, found
    in_doubt = {name for name, each in found.items() if each["mark"] != "good"}
    assert in_doubt == {"Gerrit/submit", "Gearman/Gerrit Trigger"}, found
    assert "3.1" in found["Gerrit/account"]["text"]
    assert "ci is let in" in found["Gerrit/HTTP password"]["text"]
    assert "requirements as ci" in found["Gerrit/requirements"]["text"]
    assert [review.details(each, "DETAILED_LABELS", "MESSAGES") for each in open_changes] == before


async def test_with_ssh_alone_votes_cannot_be_told_and_all_else_is_good(site, open_changes):
    status, found = await look(site)
    assert status == 0, found
    assert found["Gerrit/votes"]["mark"] == "unknown"
    assert "cannot be checked with SSH only" in found["Gerrit/votes"]["text"]
    assert "requirements without a login" in found["Gerrit/requirements"]["text"]
    assert found["Gerrit/event stream"]["mark"] == found["Gerrit/clock"]["mark"] == "good"


@pytest.mark.parametrize("site", [HTTP_ALONE], indirect=True)
async def test_a_site_that_allows_http_alone_is_good_but_no_posts_come(site, open_changes):
    status, found = await look(site)
    assert status == 0, found
    in_doubt = {name for name, each in found.items() if each["mark"] != "good"}
    assert in_doubt == {"Gerrit/submit", "Gerrit/events", "Gearman/Gerrit Trigger"}, found
    assert "3.1" in found["Gerrit/account"]["text"]
    assert "is served; no post" in found["Gerrit/events"]["text"]
    assert "Gerrit/host key" not in found


@pytest.mark.parametrize("site", [HTTP_ALONE], indirect=True)
async def test_a_password_that_gerrit_does_not_take_is_wrong(site):
    text = site.world.config.read_text()
    site.world.config.write_text(text.replace(f"{CI}-secret", "mistyped"))
    status, found = await look(site)
    assert status == 1
    assert found["Gerrit/account"]["mark"] == "wrong"
    assert "HTTP Credentials" in found["Gerrit/account"]["fix"]
    assert found["Gerrit/git"]["mark"] == "not-tried"
    assert "mistyped" not in json.dumps(found)


async def test_a_project_that_gerrit_does_not_have_is_wrong(site):
    add_project(site, "demo/alhpa")
    status, found = await look(site)
    assert status == 1
    assert found["Gerrit/projects"]["mark"] == "wrong"
    assert found["Gerrit/projects"]["items"] == ["demo/alhpa"]
    assert 'did you mean "demo/alpha"' in found["Gerrit/projects"]["fix"]


async def test_a_label_that_gerrit_does_not_have_is_wrong_with_ssh_alone(site, open_changes):
    layout = site.world.folder / "layout.yaml"
    layout.write_text(layout.read_text().replace("Verified: 1", "Verifeid: 1"))
    status, found = await look(site)
    assert status == 1
    assert found["Gerrit/votes"]["items"] == [f"{each}: verifeid" for each in PROJECTS]


@pytest.mark.parametrize("site", [PASSWORD], indirect=True)
async def test_a_project_where_the_account_may_not_vote_is_wrong_where_it_can_be_seen(site, open_changes, closed):
    add_project(site, CLOSED)
    status, found = await look(site)
    assert status == 1
    assert found["Gerrit/votes"]["mark"] == "wrong", found["Gerrit/votes"]
    assert found["Gerrit/votes"]["items"] == [f"{CLOSED}: verified -1 +1"]


async def test_a_project_where_the_account_may_not_vote_is_never_called_good_with_ssh_alone(site, closed):
    add_project(site, CLOSED)
    _, found = await look(site)
    assert found["Gerrit/votes"]["mark"] == "unknown"


async def test_a_key_that_gerrit_does_not_know_is_wrong(site, tmp_path):
    stranger = tmp_path / "stranger"
    await make_key(stranger)
    text = site.world.config.read_text()
    site.world.config.write_text(text.replace(f"sshkey={site.review.key}", f"sshkey={stranger}"))
    status, found = await look(site)
    assert status == 1
    assert found["Gerrit/host key"]["mark"] == "good"
    assert found["Gerrit/account"]["mark"] == "wrong"
    assert found["Gerrit/event stream"]["mark"] == "not-tried"


async def test_an_account_that_may_not_listen_to_events_is_wrong(site, review, tmp_path):
    """Gerrit lets Service Users listen, and this one is none."""
    public = await make_key(tmp_path / "quiet")
    review._account("quiet", "Quiet CI", ["CI"], public)  # the way in which the site itself got its accounts
    text = site.world.config.read_text().replace(f"sshkey={review.key}", f"sshkey={tmp_path / 'quiet'}")
    site.world.config.write_text(text.replace(f"user={CI}\n", "user=quiet\n"))
    status, found = await look(site)
    assert status == 1
    assert found["Gerrit/account"]["mark"] == "good"
    assert found["Gerrit/event stream"]["mark"] == "wrong"
    assert "not permitted" in found["Gerrit/event stream"]["text"]
    assert "Stream Events" in found["Gerrit/event stream"]["fix"]


async def make_key(path: Path) -> str:
    """Its public half."""
    made = await asyncio.create_subprocess_exec("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path))
    assert await made.wait() == 0
    return path.with_name(f"{path.name}.pub").read_text().strip()
