"""Git over SSH on the simulated Gerrit, with real git and OpenSSH: fetches, uploads for review, direct pushes."""

import pytest

from ci_gate.sandbox.gerrit_values import RefusedError

CHANGE_ID = "I" + "1" * 40
OTHER_ID = "I" + "2" * 40


def with_id(subject, change_id=CHANGE_ID):
    return f"{subject}\n\nChange-Id: {change_id}"


def test_a_clone_has_the_branches_and_can_fetch_patch_sets(gerrit, dev_clone):
    change = gerrit.create_change("demo/alpha", {"a.txt": "one\n"}, "Add a file", by="dev")
    assert dev_clone.git("fetch", "--quiet", "origin", "refs/changes/01/1/1").returncode == 0
    assert dev_clone.git("rev-parse", "FETCH_HEAD").stdout.strip() == change.current.revision
    assert "refs/changes/01/1/meta" in dev_clone.git("ls-remote").stdout


def test_a_push_for_review_makes_a_change_and_tells_its_address(gerrit, dev_clone):
    revision = dev_clone.commit("a.txt", "one\n", with_id("Add a file"))
    pushed = dev_clone.git("push", "origin", "HEAD:refs/for/master")
    assert pushed.returncode == 0
    assert "remote:   http://review.example.org/c/demo/alpha/+/1 Add a file [NEW]" in pushed.stderr
    change = gerrit.change(1)
    assert (change.change_id, change.current.revision, change.owner.username) == (CHANGE_ID, revision, "dev")


def test_a_second_push_with_the_same_change_id_makes_a_patch_set(gerrit, dev_clone):
    dev_clone.commit("a.txt", "one\n", with_id("Add a file"))
    dev_clone.git("push", "origin", "HEAD:refs/for/master")
    revision = dev_clone.commit("a.txt", "two\n", with_id("Add a file"), "--amend")
    pushed = dev_clone.git("push", "origin", "HEAD:refs/for/master")
    assert "Processing changes: refs: 1, updated: 1, done" in pushed.stderr
    assert [patch_set.number for patch_set in gerrit.change(1).patch_sets] == [1, 2]
    assert gerrit.change(1).current.revision == revision


def test_several_commits_tell_all_their_references_before_the_first_change(gerrit, ci, dev_clone):
    stream = ci.stream()
    dev_clone.commit("a.txt", "one\n", with_id("First"))
    dev_clone.commit("b.txt", "two\n", with_id("Second", OTHER_ID))
    assert dev_clone.git("push", "origin", "HEAD:refs/for/master").returncode == 0
    gerrit.wait_for(lambda: len(stream.lines) == 6)
    assert stream.types() == ["ref-updated"] * 4 + ["patchset-created"] * 2
    assert gerrit.change(2).current.commit.parents == (gerrit.change(1).current.revision,)


def test_a_merge_commit_can_be_a_change(gerrit, ci, dev_clone):
    dev_clone.commit("side", "s\n", with_id("Side"))
    dev_clone.git("branch", "side")
    dev_clone.git("reset", "--quiet", "--hard", "origin/master")
    dev_clone.commit("main", "m\n", with_id("Main side", OTHER_ID))
    dev_clone.git("merge", "--quiet", "--no-ff", "side", "-m", with_id("Merge side", "I" + "3" * 40))
    assert dev_clone.git("push", "origin", "HEAD:refs/for/master").returncode == 0
    merge = next(each for each in gerrit.changes if each.current.commit.subject == "Merge side")
    row, _ = ci.run(f"gerrit query --format json --current-patch-set --files --dependencies {merge.number}").rows
    assert [each["file"] for each in row["currentPatchSet"]["files"]] == ["/COMMIT_MSG", "/MERGE_LIST"]
    assert len(row["dependsOn"]) == 2


@pytest.mark.parametrize(("option", "wip"), [("%wip", True), ("%ready", False), ("", False)])
def test_push_options_say_whether_the_change_is_ready(gerrit, dev_clone, option, wip):
    dev_clone.commit("a.txt", "one\n", with_id("Add a file"))
    dev_clone.git("push", "origin", f"HEAD:refs/for/master{option}")
    assert gerrit.change(1).wip is wip


def test_a_ready_push_sends_no_wip_state_changed(gerrit, ci, dev_clone):
    dev_clone.commit("a.txt", "one\n", with_id("Add a file"))
    dev_clone.git("push", "origin", "HEAD:refs/for/master%wip,topic=work")
    stream = ci.stream()
    dev_clone.commit("a.txt", "two\n", with_id("Add a file"), "--amend")
    dev_clone.git("push", "origin", "HEAD:refs/for/master%ready")
    gerrit.wait_for(lambda: len(stream.lines) == 3)
    assert stream.types() == ["ref-updated", "ref-updated", "patchset-created"]
    assert (gerrit.change(1).wip, gerrit.change(1).topic) == (False, "work")


@pytest.mark.parametrize(
    ("message", "target", "words"),
    [
        ("No footer", "refs/for/master", "missing Change-Id in message footer"),
        ("Subject\n\nChange-Id: I1\n\nText below", "refs/for/master", "missing Change-Id in message footer"),
        (f"Two\n\nChange-Id: {CHANGE_ID}\nChange-Id: {OTHER_ID}", "refs/for/master", "multiple Change-Id lines"),
        ("Short\n\nChange-Id: I123", "refs/for/master", "invalid Change-Id line format"),
        (with_id("Fine"), "refs/for/nosuch", "branch nosuch not found"),
        (with_id("Fine"), "refs/for/master%nosuch", '"nosuch" is not a valid option'),
        (with_id("Fine"), "refs/heads/master", "prohibited by Gerrit: not permitted: update"),
        (with_id("Fine"), "refs/heads/new", "prohibited by Gerrit: not permitted: create"),
        (with_id("Fine"), "refs/changes/01/1/1", "deny updating a hidden ref"),
    ],
)
def test_a_push_that_gerrit_would_refuse_is_refused_in_its_words(gerrit, dev_clone, message, target, words):
    dev_clone.commit("a.txt", "one\n", message)
    pushed = dev_clone.git("push", "origin", f"HEAD:{target}")
    assert pushed.returncode == 1
    assert "remote rejected" in pushed.stderr
    assert words in pushed.stderr
    assert gerrit.changes == []


def test_the_same_push_again_brings_no_new_changes(gerrit, dev_clone):
    dev_clone.commit("a.txt", "one\n", with_id("Add a file"))
    dev_clone.git("push", "origin", "HEAD:refs/for/master")
    assert "(no new changes)" in dev_clone.git("push", "origin", "HEAD:refs/for/master").stderr


def test_two_commits_with_one_change_id_are_refused_together(gerrit, dev_clone):
    dev_clone.commit("a.txt", "one\n", with_id("First"))
    dev_clone.commit("b.txt", "two\n", with_id("Second"))
    pushed = dev_clone.git("push", "origin", "HEAD:refs/for/master")
    assert "same Change-Id in multiple changes" in pushed.stderr
    assert gerrit.changes == []


def test_a_closed_change_takes_no_patch_set(gerrit, dev_clone):
    dev_clone.commit("a.txt", "one\n", with_id("Add a file"))
    dev_clone.git("push", "origin", "HEAD:refs/for/master")
    gerrit.abandon(1, by="dev")
    dev_clone.commit("a.txt", "two\n", with_id("Add a file"), "--amend")
    pushed = dev_clone.git("push", "origin", "HEAD:refs/for/master")
    assert "change http://review.example.org/c/demo/alpha/+/1 closed" in pushed.stderr
    with pytest.raises(RefusedError, match="closed"):
        gerrit.create_patch_set(1, {"a.txt": "three\n"})


def test_who_has_the_right_pushes_branches_and_tags_directly(gerrit, ci, tmp_path, dev_clone):
    clone = type(dev_clone)(gerrit, tmp_path / "admin-alpha", "admin", "demo/alpha")
    stream = ci.stream()
    revision = clone.commit("d", "d\n", "Pushed without review")
    assert clone.git("push", "origin", "HEAD:master", "HEAD:refs/heads/stable").returncode == 0
    assert clone.git("push", "origin", "HEAD:refs/tags/v1").returncode == 0
    assert clone.git("push", "origin", ":refs/heads/stable").returncode == 0
    gerrit.wait_for(lambda: len(stream.lines) == 4)
    updates = [event["refUpdate"] for event in stream.events]
    assert [update["refName"] for update in updates] == [
        "refs/heads/master", "refs/heads/stable", "refs/tags/v1", "refs/heads/stable",
    ]  # fmt: skip
    assert updates[0]["newRev"] == revision == gerrit.head("demo/alpha")
    assert updates[-1]["newRev"] == "0" * 40


def test_a_project_that_does_not_exist_cannot_be_fetched(gerrit, dev_clone):
    answer = dev_clone.git("ls-remote", gerrit.url("demo/nosuch", "dev"))
    assert answer.returncode == 128
    assert "project 'demo/nosuch' not found" in answer.stderr


def test_the_repository_is_sound_after_all_that(gerrit, dev_clone, approve):
    change = gerrit.create_change("demo/alpha", {"deep/er/a.txt": "one\n"}, "Add a file", by="dev")
    gerrit.create_change("demo/alpha", {"b.txt": "b\n"}, "Beside", by="dev")
    gerrit.create_patch_set(1, {"deep/er/a.txt": None, "c": "c\n"}, parent=change)
    for number in (2, 1):
        approve(number)
    gerrit.submit(2, by="ci-gate")
    mirror = dev_clone.git("clone", "--quiet", "--mirror", str(gerrit.repository_path("demo/alpha")), "mirror.git")
    assert mirror.returncode == 0, mirror.stderr
    assert dev_clone.git("--git-dir", str(gerrit.repository_path("demo/alpha")), "fsck", "--strict").returncode == 0
