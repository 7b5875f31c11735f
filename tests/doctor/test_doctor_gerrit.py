"""The doctor at a simulated Gerrit, over real SSH: what operators get wrong, and that it changes nothing."""

from __future__ import annotations

import subprocess

import paramiko
import pytest
from doctor_parts import LAYOUT, SUBMITTING, assert_good, assert_wrong

from ci_gate.doctor.check import Mark

AFTER_THE_ACCOUNT = ("event stream", "projects", "git", "votes")


async def test_a_gerrit_that_is_set_up_well_is_good(site, gerrit):
    found = await site.look()
    assert_good(found["Gerrit/key"], "ecdsa")
    assert_good(found["Gerrit/reachable"], str(gerrit.port))
    assert_good(found["Gerrit/host key"], "new", gerrit.host_key.fingerprint)
    assert_good(found["Gerrit/account"], "ci", "3.13.0")
    assert_good(found["Gerrit/event stream"])
    assert_good(found["Gerrit/projects"], "(1)")
    assert_good(found["Gerrit/git"], "demo/app")


async def test_nothing_is_changed_in_gerrit_or_on_disk(site, gerrit):
    gerrit.create_change("demo/app", {"file": "x\n"}, "Change something\n", by="dev")
    site.write()
    before = sorted(site.folder.glob("*"))
    await site.look()
    assert sorted(site.folder.glob("*")) == before
    assert not site.state.exists(), "no host key is recorded, no folder made"
    asked = [each.line for each in gerrit.received]
    assert [each for each in asked if each.startswith("gerrit review")] == ["gerrit review --help"]
    assert gerrit.change(1).messages[1:] == ()
    gerrit.wait_for(lambda: not gerrit.connections, what="all connections to be closed")


async def test_a_key_that_the_account_does_not_have_is_told_with_its_public_half(site, gerrit):
    other = gerrit.create_account("other")
    found = await site.look(gerrit={"sshkey": str(other)})
    assert_good(found["Gerrit/host key"])
    assert_wrong(found["Gerrit/account"], "does not let user ci in", f"ssh-keygen -y -f {other}")
    for each in AFTER_THE_ACCOUNT:
        assert found[f"Gerrit/{each}"].mark is Mark.NOT_TRIED
    assert found["Gerrit/event stream"].text == "not tried: it needs account"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda key: key.unlink(), ("does not exist", "set sshkey")),
        (lambda key: key.chmod(0o644), ("may be read by others", "chmod 600")),
        (lambda key: key.write_text("no key"), ("is not a private key",)),
        (
            lambda key: subprocess.run(["ssh-keygen", "-p", "-q", "-N", "secret", "-f", key], check=True),
            ("is encrypted", "ssh-keygen -p"),
        ),
    ],
    ids=["missing", "open to others", "nonsense", "encrypted"],
)
async def test_a_key_file_that_cannot_be_used_is_told_before_anything_is_tried(site, tmp_path, spoil, words):
    key = tmp_path / "key"
    paramiko.ECDSAKey.generate().write_private_key_file(str(key))
    spoil(key)
    found = await site.look(gerrit={"sshkey": str(key)})
    assert_wrong(found["Gerrit/key"], *words)
    assert found["Gerrit/host key"].text == "not tried: it needs key"
    assert_good(found["Gerrit/reachable"])


async def test_a_changed_host_key_is_told_with_the_command_for_the_file_that_has_it(site, gerrit):
    site.state.mkdir()
    kept = site.state / "known_hosts"
    old = paramiko.ECDSAKey.generate()
    kept.write_text(f"[127.0.0.1]:{gerrit.port} {old.get_name()} {old.get_base64()}\n")
    before = kept.read_text()
    found = await site.look()
    assert_wrong(found["Gerrit/host key"], "CHANGED", f"ssh-keygen -R '[127.0.0.1]:{gerrit.port}' -f {kept}")
    assert found["Gerrit/account"].mark is Mark.NOT_TRIED
    assert kept.read_text() == before


async def test_a_host_key_that_is_known_is_the_same(site, gerrit):
    site.state.mkdir()
    key = gerrit.host_key
    (site.state / "known_hosts").write_text(f"[127.0.0.1]:{gerrit.port} {key.get_name()} {key.get_base64()}\n")
    found = await site.look(gerrit={"host_key_check": "yes"})
    assert_good(found["Gerrit/host key"], "the same")
    assert_good(found["Gerrit/git"])


async def test_an_unknown_host_key_is_wrong_where_unknown_ones_are_refused(site):
    found = await site.look(gerrit={"host_key_check": "yes"})
    assert_wrong(found["Gerrit/host key"], "is unknown", "ssh-keyscan")


async def test_a_port_where_nobody_listens_is_told_once(bare_site):
    found = await bare_site.look()
    assert_wrong(found["Gerrit/reachable"], "cannot reach", "correct server and port in [gerrit]")
    assert found["Gerrit/account"].mark is Mark.NOT_TRIED
    wrong = [name for name, each in found.items() if name.startswith("Gerrit/") and each.mark is Mark.WRONG]
    assert wrong == ["Gerrit/reachable"]


async def test_an_account_that_may_not_listen_to_events_is_told_which_right_it_lacks(site, gerrit):
    key = gerrit.create_account("quiet", may_stream=False)
    found = await site.look(gerrit={"user": "quiet", "sshkey": str(key)})
    assert_good(found["Gerrit/account"])
    assert_wrong(found["Gerrit/event stream"], "not permitted", "Stream Events")


async def test_a_project_that_gerrit_does_not_have_is_named_with_the_one_that_was_meant(site):
    site.write_layout(LAYOUT.replace("demo/app", "demo/ap"))
    finding = (await site.look())["Gerrit/projects"]
    assert_wrong(finding, "demo/ap", 'did you mean "demo/app"?')
    assert finding.items == ("demo/ap",)


async def test_a_project_that_git_cannot_fetch_is_wrong(site, gerrit):
    gerrit.faults.fail("git-upload-pack", "fatal: not allowed", exit_status=128, times=float("inf"))
    assert_wrong((await site.look())["Gerrit/git"], "not allowed", "git ls-remote ssh://ci@")


async def test_a_gerrit_that_refuses_every_command_leaves_nothing_good_behind_it(site, gerrit):
    for each in ("version", "ls-projects"):
        gerrit.faults.fail(each, "fatal: account inactive", times=float("inf"))
    found = await site.look()
    assert_wrong(found["Gerrit/account"], "inactive")
    assert not [each for each in AFTER_THE_ACCOUNT if found[f"Gerrit/{each}"].mark is not Mark.NOT_TRIED]


async def test_whether_it_may_vote_is_never_called_good_with_ssh_alone(site, gerrit):
    finding = (await site.look())["Gerrit/votes"]
    assert finding.mark is Mark.UNKNOWN
    assert "cannot be checked with SSH only" in finding.text
    change = gerrit.create_change("demo/app", {"file": "x\n"}, "Change something\n", by="dev")
    gerrit.comment(change.number, by="ci", votes={"Verified": 1})
    finding = (await site.look())["Gerrit/votes"]
    assert finding.mark is Mark.UNKNOWN
    assert "ci has given verified +1 somewhere before" in finding.text


async def test_a_label_that_gerrit_does_not_know_is_wrong_with_ssh_alone(site, gerrit):
    gerrit.create_change("demo/app", {"file": "x\n"}, "Change something\n", by="dev")
    site.write_layout(LAYOUT.replace("Verified", "Verifeid"))
    finding = (await site.look())["Gerrit/votes"]
    assert_wrong(finding, "demo/app: verifeid")


async def test_whether_it_may_submit_is_asked_only_where_a_pipeline_submits(site):
    assert "Gerrit/submit" not in await site.look()
    site.write_layout(SUBMITTING)
    assert (await site.look())["Gerrit/submit"].mark is Mark.UNKNOWN


async def test_each_connection_has_checks_of_its_own(site, gerrit):
    other = gerrit.create_account("other")
    values = {**site.values["gerrit"], "driver": "gerrit", "user": "other", "sshkey": str(other)}
    found = await site.look(**{"connection second": values})
    assert_good(found["Gerrit/account"], "ci is let in")
    assert_good(found["Gerrit second/account"], "other is let in")
