"""`gerrit query` on the simulated Gerrit: rows, options, the language, paging and errors (gerrit-wire.md 4)."""

import pytest

from ci_gate.sandbox.gerrit import SandboxGerrit, SiteSettings

EVERYTHING = (
    "gerrit query --format json --all-approvals --comments --commit-message --current-patch-set --dependencies "
    "--files --patch-sets --submit-records"
)
CI = {"name": "Ci Gate", "email": "ci-gate@example.org", "username": "ci-gate"}


def new_change(gerrit, path="a.txt", message="Add a file", **more):
    return gerrit.create_change("demo/alpha", {path: "one\n"}, message, by="dev", **more)


def numbers(answer):
    """The numbers of the changes found; the last row must be the statistics."""
    *rows, stats = answer.rows
    assert stats["type"] == "stats"
    assert stats["rowCount"] == len(rows)
    return [row["number"] for row in rows]


def test_a_bare_query_gives_the_fields_of_3_13_in_their_order(gerrit, ci):
    change = new_change(gerrit)
    row, stats = ci.run("gerrit query --format JSON change:1").rows
    assert list(row) == [
        "project", "branch", "id", "number", "subject", "owner", "url", "hashtags", "createdOn", "lastUpdated",
        "open", "status",
    ]  # fmt: skip
    assert (row["number"], row["id"], row["open"], row["status"]) == (1, change.change_id, True, "NEW")
    assert row["url"] == "http://review.example.org/c/demo/alpha/+/1"
    assert list(stats) == ["type", "rowCount", "runTimeMilliseconds", "moreChanges"]


def test_all_options_together_give_everything(gerrit, ci):
    new_change(gerrit)
    gerrit.create_patch_set(1, {"b.txt": "b\n"})
    gerrit.comment(1, by="ci-gate", message="Build succeeded.", votes={"Verified": 1})
    row, _ = ci.run(f"{EVERYTHING} 1").rows
    assert row["commitMessage"].startswith("Add a file\n\nChange-Id: I")
    assert row["comments"][-1]["message"] == "Patch Set 2: Verified+1\n\nBuild succeeded."
    current = row["currentPatchSet"]
    assert [each["number"] for each in row["patchSets"]] == [1, 2]
    assert (current["number"], current["ref"]) == (2, "refs/changes/01/1/2")
    (approval,) = current["approvals"]
    assert approval.pop("grantedOn") > 0
    assert approval == {"type": "Verified", "description": "Verified", "value": "1", "by": CI}
    assert [each["file"] for each in current["files"]] == ["/COMMIT_MSG", "a.txt", "b.txt"]
    assert "approvals" not in row["patchSets"][0], "nothing is written for nothing"
    assert [label["status"] for label in row["submitRecords"][0]["labels"]] == ["MAY"] * 3


def test_a_merged_change_has_the_submission_among_its_approvals_without_description(gerrit, ci, approve):
    new_change(gerrit)
    approve(1)
    gerrit.submit(1, by="ci-gate")
    row, _ = ci.run("gerrit query --format json --current-patch-set change:1").rows
    first, *others = row["currentPatchSet"]["approvals"]
    assert (first["type"], first["value"], first["by"]) == ("SUBM", "1", CI)
    assert "description" not in first
    assert {approval["grantedOn"] for approval in others} == {first["grantedOn"]}
    assert (row["open"], row["status"]) == (False, "MERGED")


def test_dependencies_show_parents_and_children(gerrit, ci):
    first = new_change(gerrit)
    new_change(gerrit, "b.txt", "On top", parent=first)
    below, _ = ci.run("gerrit query --format json --dependencies change:1").rows
    above, _ = ci.run("gerrit query --format json --dependencies change:2").rows
    assert above["dependsOn"] == [
        {"id": first.change_id, "number": 1, "revision": first.current.revision, "ref": "refs/changes/01/1/1",
         "isCurrentPatchSet": True},
    ]  # fmt: skip
    assert [(each["number"], each["ref"]) for each in below["neededBy"]] == [(2, "refs/changes/02/2/1")]
    gerrit.create_patch_set(1, {"a.txt": "two\n"})
    above, _ = ci.run("gerrit query --format json --dependencies change:2").rows
    assert above["dependsOn"][0]["isCurrentPatchSet"] is False


def test_a_renamed_and_a_deleted_file_are_told_as_such(gerrit, ci, dev_clone):
    gerrit.push("demo/alpha", {"old": "text\n" * 9, "gone": "x\n"}, "Files", by="admin")
    dev_clone.git("pull", "--quiet")
    dev_clone.git("mv", "old", "new")
    dev_clone.git("rm", "--quiet", "gone")
    dev_clone.git("commit", "--quiet", "-m", f"Move\n\nChange-Id: I{'a' * 40}")
    dev_clone.git("push", "origin", "HEAD:refs/for/master")
    row, _ = ci.run("gerrit query --format json --current-patch-set --files 1").rows
    assert row["currentPatchSet"]["files"][1:] == [
        {"file": "gone", "type": "DELETED", "insertions": 0, "deletions": -1},
        {"file": "new", "fileOld": "old", "type": "RENAMED", "insertions": 0, "deletions": 0},
    ]


@pytest.fixture(scope="module")
def three(unchanging_gerrit):
    """1 is merged, 2 work in progress, 3 in another project and depends on 2; gives the Gerrit and change 2."""
    gerrit = unchanging_gerrit
    gerrit.create_project("demo/beta", branches=("master", "stable"))
    new_change(gerrit)
    second = new_change(gerrit, "b.txt", "Second one", wip=True, topic="work")
    message = f"Third\n\nDepends-On: {second.change_id}"
    gerrit.create_change("demo/beta", {"c.txt": "c\n"}, message, by="core", branch="stable")
    gerrit.comment(1, by="core", votes={"Code-Review": 2, "Workflow": 1})
    gerrit.comment(1, by="ci-gate", votes={"Verified": 2})
    gerrit.submit(1, by="ci-gate")
    return gerrit, second


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("change:2", [2]),
        ("2", [2]),
        ("change:99999", []),
        ("status:open", [2, 3]),
        ("is:open", [2, 3]),
        ("status:merged", [1]),
        ("is:wip", [2]),
        ("project:demo/beta status:open", [3]),
        ("project:{demo/beta}", [3]),
        ("branch:stable", [3]),
        ("topic:work", [2]),
        ("owner:core", [3]),
        ("'project:demo/alpha OR project:demo/beta'", [1, 2, 3]),
        ("'(project:demo/alpha OR project:demo/beta) status:open'", [2, 3]),
        ("'project:demo/alpha AND NOT status:open'", [1]),
        ("'status:open -project:demo/beta'", [2]),
        ("'(project:demo/alpha OR project:demo/beta) -age:5m'", [1, 2, 3]),
        ("'age:5m'", []),
        ("label:Verified=2,user=ci-gate", [1]),
        ("label:verified=MAX", [1]),
        ("label:Code-Review=2,user=ci-gate", []),
        ("'label:Verified>=1'", [1]),
        ("-- -status:open", [1]),
        ("message:second", [2]),
    ],
)
def test_the_query_language_finds_what_it_should(connect, three, query, found):
    client = connect("dev", three[0])
    assert sorted(numbers(client.run(f"gerrit query --format json {query}"))) == found


def test_a_change_id_finds_the_change_and_in_the_message_those_who_name_it(connect, three):
    gerrit, second = three
    client = connect("dev", gerrit)
    assert numbers(client.run(f"gerrit query --format json change:{second.change_id}")) == [2]
    assert sorted(numbers(client.run(f"gerrit query --format json message:{second.change_id}"))) == [2, 3]
    quoted = f"'message:{{\"Depends-On: {second.change_id}\"}}'"
    assert numbers(client.run(f"gerrit query --format json {quoted}")) == [3]


def test_an_address_is_found_in_messages_with_or_without_its_host(gerrit, ci):
    address = "http://review.example.org/c/demo/alpha/+/4"
    new_change(gerrit, message=f"Needs it\n\nDepends-On: {address}")
    new_change(gerrit, "b", message=f"Needs another\n\nDepends-On: {address}2")
    assert numbers(ci.run(f"gerrit query --format json 'message:{{{address}}}'")) == [1]
    assert numbers(ci.run("gerrit query --format json 'message:{/c/demo/alpha/+/4}'")) == [1]


def test_a_commit_finds_its_change(gerrit, ci):
    change = new_change(gerrit)
    assert numbers(ci.run(f"gerrit query --format json commit:{change.current.revision}")) == [1]


def test_submittable_are_changes_that_lack_nothing(gerrit, ci, approve):
    new_change(gerrit)
    assert numbers(ci.run("gerrit query --format json change:1 is:submittable")) == []
    approve(1)
    assert numbers(ci.run("gerrit query --format json change:1 is:submittable")) == [1]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("nosuchoperator:x", "Unsupported operator nosuchoperator:x"),
        ("'label:\"broken'", "line 1:13 mismatched character '<EOF>' expecting '\"'"),
        ("'(status:open'", "line 1: missing ')'"),
        ("status:sometimes", "Unsupported operator status:sometimes"),
        ("label:Nosuch=1", "Unsupported operator label:Nosuch=1"),
    ],
)
def test_a_query_that_cannot_be_answered_gives_an_error_row_and_exit_status_0(
    connect, unchanging_gerrit, query, message
):
    answer = connect("ci-gate", unchanging_gerrit).run(f"gerrit query --format json {query}")
    assert (answer.exit_status, answer.rows) == (0, [{"type": "error", "message": message}])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--nosuch status:open", 'fatal: "--nosuch" is not a valid option\n'),
        ("-age:5m", 'fatal: "-age:5m" is not a valid option\n'),
        ("", 'fatal: Argument "QUERY" is required\n'),
        ("status:open --start", 'fatal: Option "--start" takes an operand\n'),
    ],
)
def test_a_wrong_command_line_fails(connect, unchanging_gerrit, arguments, words):
    answer = connect("ci-gate", unchanging_gerrit).run(f"gerrit query --format json {arguments}")
    assert (answer.exit_status, answer.stderr) == (1, words)


def test_a_page_says_that_there_is_more_and_the_next_one_goes_on_there(tmp_path, connect):
    small = SandboxGerrit(tmp_path / "small", SiteSettings(query_limit=2))
    small.create_account("dev")
    small.create_project("demo/alpha")
    for path in "abc":
        new_change(small, path)
    with small:
        client = connect("dev", small)
        first = client.run("gerrit query --format json status:open")
        second = client.run("gerrit query --format json -S 2 status:open")
        everything = client.run("gerrit query --format json --no-limit status:open")
        limited = client.run("gerrit query --format json 'limit:1 status:open'")
    assert (numbers(first), first.rows[-1]["moreChanges"]) == ([3, 2], True)
    assert (numbers(second), second.rows[-1]["moreChanges"]) == ([1], False)
    assert numbers(everything) == [3, 2, 1]
    assert (numbers(limited), limited.rows[-1]["moreChanges"]) == ([3], False), "limit: hides that there is more"


def test_queries_can_lag_behind_events(gerrit, ci):
    new_change(gerrit)
    gerrit.faults.query_lag = 1.0
    gerrit.comment(1, by="ci-gate", votes={"Verified": 1})

    def approvals():
        return ci.run("gerrit query --format json --current-patch-set 1").rows[0]["currentPatchSet"].get("approvals")

    assert gerrit.votes(1, "Verified") == {"ci-gate": 1}
    assert approvals() is None
    assert gerrit.wait_for(approvals)[0]["value"] == "1"
