"""The simulated Gerrit's event stream: shape and order of 3.13's events, as the recorded samples have them."""

import json

import pytest

from ci_gate.sandbox.gerrit import SandboxGerrit, SiteSettings
from ci_gate.sandbox.gerrit_stream import BUFFER, Listener, Output

ZERO = "0" * 40
DEV = {"name": "Dev", "email": "dev@example.org", "username": "dev"}
ENVELOPE = ["project", "refName", "changeKey", "type", "eventCreatedOn", "instanceId"]
SIZES = ["sizeInsertions", "sizeDeletions"]
CHANGE = ["project", "branch", "id", "number", "subject", "owner", "url", "commitMessage", "createdOn", "status"]
PATCH_SET = ["number", "revision", "parents", "ref", "uploader", "createdOn", "author", "kind", *SIZES]


def wait_for_events(gerrit, stream, count):
    gerrit.wait_for(lambda: len(stream.lines) >= count, what=f"{count} events")
    return stream.events


def new_change(gerrit, **more):
    return gerrit.create_change("demo/alpha", {"a.txt": "one\n"}, "Add a file", by="dev", **more)


def test_a_new_change_is_told_by_its_references_and_then_by_patchset_created(gerrit, ci):
    stream = ci.stream()
    change = new_change(gerrit)
    patch_ref, meta_ref, created = wait_for_events(gerrit, stream, 3)
    first, revision = "refs/changes/01/1/1", change.current.revision
    assert patch_ref["refUpdate"] == {"oldRev": ZERO, "newRev": revision, "refName": first, "project": "demo/alpha"}
    assert patch_ref["submitter"] == DEV
    assert meta_ref["refUpdate"]["refName"] == "refs/changes/01/1/meta"
    assert created["type"] == "patchset-created"
    assert created["uploader"] == DEV


def test_patchset_created_has_the_fields_of_3_13_in_their_order_and_numbers_as_integers(gerrit, ci):
    stream = ci.stream(" -s patchset-created")
    change = new_change(gerrit)
    (created,) = wait_for_events(gerrit, stream, 1)
    assert list(created) == ["uploader", "patchSet", "change", *ENVELOPE]
    assert list(created["change"]) == CHANGE
    assert list(created["patchSet"]) == PATCH_SET
    assert (created["change"]["number"], created["patchSet"]["number"]) == (1, 1)
    assert created["refName"] == "refs/heads/master"
    assert created["change"]["branch"] == "master"
    assert created["changeKey"] == {"id": change.change_id}
    # Nine lines of /COMMIT_MSG and one of the file.
    assert (created["patchSet"]["sizeInsertions"], created["patchSet"]["sizeDeletions"]) == (10, 0)


def test_the_reference_can_be_fetched_when_its_event_arrives(gerrit, ci, dev_clone):
    stream = ci.stream()
    new_change(gerrit)
    created = wait_for_events(gerrit, stream, 3)[-1]
    dev_clone.git("fetch", "--quiet", "origin", created["patchSet"]["ref"])
    assert dev_clone.git("rev-parse", "FETCH_HEAD").stdout.strip() == created["patchSet"]["revision"]


def test_a_comment_event_has_all_labels_as_text_and_the_old_value_only_where_the_vote_changed(gerrit, ci):
    new_change(gerrit)
    stream = ci.stream(" -s comment-added")
    gerrit.comment(1, by="vendor-ci", message="Build failed.", votes={"Verified": -1})
    gerrit.comment(1, by="vendor-ci", message="again", votes={"Verified": -1})
    gerrit.comment(1, by="vendor-ci", message="start", votes={"Verified": 0})
    failed, again, start = wait_for_events(gerrit, stream, 3)
    assert list(failed) == ["author", "approvals", "comment", "patchSet", "change", *ENVELOPE]
    assert failed["approvals"] == [
        {"type": "Verified", "description": "Verified", "value": "-1", "oldValue": "0"},
        {"type": "Code-Review", "description": "Code-Review", "value": "0"},
        {"type": "Workflow", "description": "Workflow", "value": "0"},
    ]
    assert failed["comment"] == "Patch Set 1: Verified-1\n\nBuild failed."
    assert again["approvals"][0] == {"type": "Verified", "description": "Verified", "value": "-1"}
    assert again["comment"] == "Patch Set 1:\n\nagain"
    assert start["approvals"][0]["oldValue"] == "-1"
    assert start["comment"] == "Patch Set 1: -Verified\n\nstart"


def test_the_count_of_inline_comments_stands_before_the_text(gerrit, ci):
    new_change(gerrit)
    stream = ci.stream(" -s comment-added")
    gerrit.comment(1, by="dev", message="see inside", inline_comments=1)
    assert wait_for_events(gerrit, stream, 1)[0]["comment"] == "Patch Set 1:\n\n(1 comment)\n\nsee inside"


def test_a_comment_is_first_told_by_the_meta_reference(gerrit, ci):
    new_change(gerrit)
    stream = ci.stream()
    gerrit.comment(1, by="dev", message="recheck")
    meta, added = wait_for_events(gerrit, stream, 2)
    assert meta["refUpdate"]["refName"] == "refs/changes/01/1/meta"
    assert added["author"] == DEV


def test_abandon_and_restore_tell_who_and_why(gerrit, ci):
    new_change(gerrit)
    stream = ci.stream(" -s change-abandoned -s change-restored")
    gerrit.abandon(1, by="dev", reason="not now")
    gerrit.restore(1, by="dev", reason="after all")
    abandoned, restored = wait_for_events(gerrit, stream, 2)
    assert list(abandoned)[:4] == ["abandoner", "reason", "patchSet", "change"]
    assert (abandoned["reason"], abandoned["change"]["status"]) == ("not now", "ABANDONED")
    assert list(restored)[:2] == ["restorer", "reason"]
    assert restored["change"]["status"] == "NEW"


def test_the_wip_button_sends_wip_state_changed_without_wip_when_the_change_became_ready(gerrit, ci):
    new_change(gerrit, wip=True)
    stream = ci.stream(" -s wip-state-changed")
    gerrit.set_wip(1, by="dev", wip=False)
    gerrit.set_wip(1, by="dev", wip=True)
    ready, again = wait_for_events(gerrit, stream, 2)
    assert "wip" not in ready["change"]
    assert again["change"]["wip"] is True


def test_a_submit_tells_of_the_branch_then_of_meta_then_of_the_change(gerrit, ci, approve):
    change = new_change(gerrit)
    approve(1)
    stream = ci.stream()
    gerrit.submit(1, by="ci-gate")
    branch, meta, merged = wait_for_events(gerrit, stream, 3)
    assert branch["refUpdate"]["refName"] == "refs/heads/master"
    assert branch["refUpdate"]["newRev"] == change.current.revision
    assert meta["refUpdate"]["refName"] == "refs/changes/01/1/meta"
    assert (merged["type"], merged["newRev"], merged["change"]["status"]) == (
        "change-merged", change.current.revision, "MERGED",
    )  # fmt: skip


def test_changes_submitted_together_carry_the_new_tip_of_the_branch(gerrit, ci, approve):
    first = new_change(gerrit)
    second = gerrit.create_change("demo/alpha", {"b.txt": "two\n"}, "Second", by="dev", parent=first)
    approve(1)
    approve(2)
    stream = ci.stream(" -s change-merged")
    gerrit.submit(2, by="ci-gate")
    merged = wait_for_events(gerrit, stream, 2)
    assert [event["change"]["number"] for event in merged] == [1, 2]
    assert {event["newRev"] for event in merged} == {second.current.revision}


def test_a_topic_given_with_the_upload_is_told_after_it_without_a_patch_set(gerrit, ci):
    stream = ci.stream()
    new_change(gerrit, topic="series")
    *_, created, topic = wait_for_events(gerrit, stream, 4)
    assert created["change"]["topic"] == "series"
    assert (topic["type"], topic["oldTopic"]) == ("topic-changed", "series")
    assert "patchSet" not in topic


def test_a_branch_is_told_when_it_is_made_moved_and_deleted(gerrit, ci):
    stream = ci.stream()
    base = gerrit.head("demo/alpha")
    gerrit.update_ref("demo/alpha", "refs/heads/stable", base)
    tip = gerrit.push("demo/alpha", {"d": "d\n"}, "Pushed without review", by="admin", branch="stable")
    gerrit.update_ref("demo/alpha", "refs/heads/stable", None)
    events = wait_for_events(gerrit, stream, 3)
    revisions = [(event["refUpdate"]["oldRev"], event["refUpdate"]["newRev"]) for event in events]
    assert revisions == [(ZERO, base), (base, tip), (tip, ZERO)]


def test_a_new_project_is_told_before_its_first_branch(gerrit, ci):
    stream = ci.stream()
    gerrit.create_project("demo/beta")
    created, branch = wait_for_events(gerrit, stream, 2)
    assert (created["type"], created["projectName"], created["headName"]) == (
        "project-created", "demo/beta", "refs/heads/master",
    )  # fmt: skip
    assert branch["refUpdate"]["project"] == "demo/beta"


def test_every_listener_gets_every_event_in_the_same_order(gerrit, connect):
    streams = [connect(name).stream() for name in ("ci-gate", "vendor-ci", "dev")]
    new_change(gerrit)
    for text in ("one", "two", "three"):
        gerrit.comment(1, by="dev", message=text)
    first = wait_for_events(gerrit, streams[0], 9)
    assert all(wait_for_events(gerrit, stream, 9) == first for stream in streams)


def test_a_listener_may_ask_for_some_types_only(gerrit, ci):
    stream = ci.stream(" -s comment-added -s change-abandoned")
    new_change(gerrit)
    gerrit.comment(1, by="dev", message="recheck")
    gerrit.abandon(1, by="dev")
    wait_for_events(gerrit, stream, 2)
    assert stream.types() == ["comment-added", "change-abandoned"]


def test_markup_is_escaped_and_other_text_is_not(gerrit, ci):
    new_change(gerrit)
    stream = ci.stream(" -s comment-added")
    gerrit.comment(1, by="dev", message="a <b> & c='ä ✓'")
    (event,) = wait_for_events(gerrit, stream, 1)
    assert event["comment"].endswith("a <b> & c='ä ✓'")
    assert r"a \u003cb\u003e \u0026 c\u003d\u0027ä ✓\u0027".encode() in stream.lines[0]


def test_an_old_gerrit_writes_numbers_as_text(tmp_path, connect):
    old = SandboxGerrit(tmp_path / "old", SiteSettings(version="2.8.4", numbers_as_text=True, instance_id=None))
    old.create_account("dev")
    old.create_project("demo/alpha")
    with old:
        client = connect("dev", old)
        stream = client.stream(" -s patchset-created")
        new_change(old)
        (created,) = wait_for_events(old, stream, 1)
        (row, _) = client.run("gerrit query --format json --current-patch-set change:1").rows
    assert (created["change"]["number"], created["patchSet"]["number"]) == ("1", "1")
    assert (row["number"], row["currentPatchSet"]["number"]) == ("1", "1")
    assert "instanceId" not in created


def test_what_overflows_a_buffer_is_dropped_and_told_of_once_ahead_of_what_is_held():
    listener = Listener(None, lambda: False)
    for number in range(BUFFER + 50):
        listener.offer(Output(b"%d" % number))
    first = listener.take(0)
    assert json.loads(first.data)["type"] == "dropped-output"
    assert [listener.take(0).data for _ in range(BUFFER)] == [b"%d" % number for number in range(BUFFER)]
    assert listener.take(0) is None


def test_a_client_that_does_not_read_its_stream_loses_events(gerrit, ci):
    channel = ci.ssh.get_transport().open_session(window_size=32768)
    channel.exec_command("gerrit stream-events")
    gerrit.wait_for(lambda: gerrit.listeners == 1)
    for number in range(400):
        gerrit.send_event({"type": "padding", "number": number, "text": "x" * 1000})
    lines = channel.makefile("rb")
    events = [json.loads(lines.readline()) for _ in range(BUFFER)]
    assert "dropped-output" in [event["type"] for event in events]


def test_a_stream_can_be_cut_in_the_middle_of_a_line(gerrit, ci):
    stream = ci.stream()
    gerrit.cut_streams(b'{"type":"comment-ad')
    assert stream.ended.wait(10)
    assert stream.lines == [b'{"type":"comment-ad']


@pytest.mark.parametrize("data", [b"{broken\n", b"\n", b'{"type":"never-heard-of"}\n'])
def test_a_stream_can_bring_what_no_gerrit_should_send_and_goes_on(gerrit, ci, data):
    stream = ci.stream()
    gerrit.write_to_streams(data)
    gerrit.send_dropped_output()
    gerrit.wait_for(lambda: len(stream.lines) == 2)
    assert stream.lines[0] == data
    assert json.loads(stream.lines[1])["type"] == "dropped-output"


def test_an_account_without_the_right_may_not_listen(gerrit, connect):
    gerrit.create_account("nosy", may_stream=False)
    answer = connect("nosy").run("gerrit stream-events")
    assert (answer.exit_status, answer.stderr) == (1, "stream events not permitted\n")
