"""A bundle for a bug report: nobody's names are in it, and it decides what was decided."""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import replace

import pytest
from recorded_parts import RecordedHistory, RecordedScript, World, write_config
from scripted_world import READY, check_pipeline, gerrit_filter, layout, project, votes

from ci_gate.cli.main import main
from ci_gate.model.change import Account
from ci_gate.model.event import Event
from ci_gate.model.expression import Expression
from ci_gate.model.layout import DEPENDENT, Job, Pipeline, SharedQueue, SmtpReporter
from ci_gate.model.options import SchedulerSettings
from ci_gate.replay.bundle import BadBundleError, read_bundle, write_bundle
from ci_gate.replay.exporting import NothingToExportError, export
from ci_gate.replay.names import OtherNames
from ci_gate.replay.running import OtherMemory, Span, run
from ci_gate.scheduler.inputs import LayoutReplaced
from ci_gate.scheduler.oracle import Answer
from ci_gate.store.reading import JournalReader

SALT = b"salt" * 8
SECRETS = [
    *("acme-unit", "acme-docs", "acme-pipe", "acme-gate", "acme/rocket", "acme/fuel", "feature/warp", "acme-queue"),
    *("Ada Lovelace", "ada@acme.example", "ada-l", "make the rocket fly", "please-recheck", "acme.example"),
    *("src/engine.c", "topic-rocket", "tag-rocket", "acme-param", "secret-value", "Acme-Ready", "acme-ready"),
    *("Acme says no", "qa@acme", "correct-horse", "review.example.org"),
]
ADA = Account("Ada Lovelace", "ada@acme.example", "ada-l")


class Functions:
    def edit_parameters(self, item, job, parameters) -> Answer:
        return Answer({**parameters, "acme-param": "secret-value", "ZUUL_NODE": "acme-node"})


def acme_layout():
    check = check_pipeline(
        name="acme-pipe",
        triggers=(
            gerrit_filter("patchset-created", branches=(Expression("^(master|feature/.*)$"),)),
            gerrit_filter(
                "comment-added", comments=(Expression("please-recheck"),), usernames=(Expression("^ada-.*"),)
            ),
        ),
        failure_message="Acme says no",
        failure=(*votes(**{"Acme-Ready": -1}), SmtpReporter("smtp", to="qa@acme")),
    )
    gate = Pipeline(
        "acme-gate",
        manager=DEPENDENT,
        triggers=(gerrit_filter("comment-added", comments=(Expression("(?mi)^merge$"),)),),
        success=(replace(votes(Verified=2)[0], flags=("submit",)),),
        failure=votes(Verified=-2),
    )
    jobs = {
        "acme-docs": Job("acme-docs", files=(Expression("^doc/"),)),
        "acme-unit": Job("acme-unit", parameter_function="acme_function", queue_name="acme-queue"),
    }
    names = {"acme-pipe": ["acme-unit", "acme-docs"], "acme-gate": ["acme-unit"]}
    projects = (project("acme/rocket", **names), project("acme/fuel", **names))
    made = layout(check, gate, jobs=jobs, projects=projects)
    return replace(made, queues={"acme-gate": (SharedQueue(("acme/rocket", "acme/fuel"), "acme-queue"),)})


@pytest.fixture
def recorded(tmp_path) -> RecordedScript:
    """With files, comments, dependencies, functions, a failure and a merge; and a snapshot in the middle."""
    world = World(acme_layout(), oracle=Functions())
    recorded = RecordedScript(tmp_path, world)
    known = {"owner": ADA, "topic": "topic-rocket", "hashtags": ("tag-rocket",), "submit_records": (READY,)}
    known["commit_message"] = "make the rocket fly\n\nBy Ada\n"
    world.upload("A", "acme/rocket", files=("/COMMIT_MSG", "src/engine.c"), **known)
    message = f"make the rocket fly\n\nDepends-On: I{'41' * 20}\n"
    world.upload("B", "acme/fuel", files=("/COMMIT_MSG", "doc/x"), **{**known, "commit_message": message})
    world.upload("C", "acme/fuel", branch="feature/warp", **known)
    world.upload("D", "acme/fuel", branch="other", **known)
    recorded.snapshot(world.scheduler)
    world.at += 60
    world.ends("acme-unit", "A")
    world.ends("acme-unit", "B", "FAILURE", reason="Acme says no")
    world.comment("B", "please-recheck", account=ADA)
    world.comment("C", "please-recheck", account=Account("Bob", "bob@acme.example", "bob"))
    world.comment("A", "merge", account=ADA)
    world.at += 60
    world.ends("acme-unit", "A")
    world.tell(
        Event("ref-updated", "gerrit", "acme/fuel", ref="refs/heads/feature/warp", oldrev="0" * 40, newrev="b" * 40)
    )
    return recorded


def written(recorded, path, **asked):
    exported = export(JournalReader(recorded.address), Span(), SALT, **asked)
    write_bundle(exported.bundle, path)
    return exported


def shape(decisions) -> list[tuple[str, str | None, str | None]]:
    """What is the same in other words: codes, numbers, and results."""
    return [
        (each.code, each.subject if re.fullmatch(r"\d+,\d+", each.subject) else None, dict(each.values).get("result"))
        for each in decisions
    ]


def test_no_name_is_in_a_bundle(recorded, tmp_path):
    path = tmp_path / "bundle.jsonl"
    written(recorded, path)
    text = path.read_text(encoding="utf-8")
    journal = "".join(each.input + each.effects + each.answers for each in recorded.journal.entries(0))
    known = [each for each in SECRETS if each.lower() in (journal + json.dumps(recorded.layouts())).lower()]
    assert len(known) > 20, "they would be found"
    assert [each for each in SECRETS if each.lower() in text.lower()] == []
    assert "acme" not in text.lower()
    assert "rocket" not in text.lower()


def test_no_name_of_a_setting_that_was_read_again_is_in_a_bundle(recorded, tmp_path):
    options = SchedulerSettings(status_url="https://acme.example/rocket", url_pattern="https://acme.example/{job.name}")
    recorded.world.step(LayoutReplaced(recorded.world.at, 9, acme_layout(), recorded.oracle, options))
    path = tmp_path / "bundle.jsonl"
    assert written(recorded, path).deviating == ()
    text = path.read_text(encoding="utf-8")
    assert "{job.name}" in text
    assert "acme" not in text.lower()


def test_a_bundle_decides_what_was_decided(recorded, tmp_path):
    path = tmp_path / "bundle.jsonl.gz"
    exported = written(recorded, path)
    assert exported.deviating == ()
    assert exported.steps == recorded.seq
    with gzip.open(path, "rt", encoding="utf-8") as file:
        assert json.loads(file.readline())["steps"] == recorded.seq
    bundle = read_bundle(path)
    steps = list(run(bundle, Span(), bundle.read_layout))
    assert not [each for each in steps if isinstance(each, OtherMemory)]
    assert all(each.step.as_recorded for each in steps)
    assert [shape(each.decisions) for each in steps] == [shape(each) for each in recorded.decisions]
    assert any("BRANCH" in each.code.name for one in steps for each in one.decisions)


@pytest.mark.parametrize("seed", [3, 4, 11, 12, 5600])
def test_whatever_happened_a_bundle_decides_the_same(tmp_path, seed):
    recorded = RecordedHistory(tmp_path, seed)
    exported = written(recorded, tmp_path / "bundle")
    assert exported.deviating == ()
    bundle = read_bundle(tmp_path / "bundle")
    steps = list(run(bundle, Span(), bundle.read_layout))
    assert all(each.step.as_recorded for each in steps)
    assert [shape(each.decisions) for each in steps] == [shape(each) for each in recorded.decisions]
    text = (tmp_path / "bundle").read_text(encoding="utf-8")
    assert not re.search(r"joe@|\bAnn\b|\bplain\b|\bforeign\b|\balone\b", text)


def test_a_change_narrows_the_span_to_what_was_decided_about_it(recorded, tmp_path):
    exported = written(recorded, tmp_path / "bundle", subject="4")
    assert 0 < exported.steps < recorded.seq
    bundle = read_bundle(tmp_path / "bundle")
    assert max(bundle.snapshots()) <= bundle.last_seq() < recorded.seq
    with pytest.raises(NothingToExportError, match="nothing was decided about 99"):
        written(recorded, tmp_path / "bundle", subject="99")
    with pytest.raises(NothingToExportError, match="nothing was recorded"):
        export(JournalReader(recorded.address), Span(since=1e12), SALT)


def test_a_span_begins_at_the_snapshot_before_it_and_is_replayed_from_there(recorded, tmp_path):
    middle = JournalReader(recorded.address).snapshots()[1]
    at = next(each.at for each in recorded.journal.entries(middle + 3))
    exported = export(JournalReader(recorded.address), Span(since=at), SALT)
    assert exported.bundle.snapshots() == [middle]
    assert list(exported.bundle.steps) == list(range(middle + 1, recorded.seq + 1))
    assert exported.deviating == ()


def test_the_commands_write_and_replay_it(recorded, tmp_path, capsys):
    config = write_config(tmp_path)
    path = tmp_path / "bundle.jsonl.gz"
    assert main(["journal", "export", "-c", str(config), str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: {recorded.seq} steps\n"
    assert main(["replay", "--bundle", str(path), "--format", "json"]) == 0
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == sum(len(each) for each in recorded.decisions)
    assert "every effect is the one that was recorded" in told.err
    unpacked = gzip.decompress(path.read_bytes()).decode()
    assert "correct-horse" in config.read_text(encoding="utf-8")
    assert "correct-horse" not in unpacked
    assert "review.example.org" not in unpacked
    assert str(tmp_path) not in unpacked


def test_what_is_no_bundle_is_refused(tmp_path, capsys):
    path = tmp_path / "bundle"
    for text in ("", "{}\n", "[1]\n", "nonsense", '{"ci_gate_bundle": 2}\n', '{"ci_gate_bundle": 1}\n{"step": 1}\n'):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(BadBundleError):
            read_bundle(path)
        assert main(["replay", "--bundle", str(path)]) == 1
        assert capsys.readouterr().err.startswith("ci-gate replay: ")
    assert main(["replay", "--bundle", str(tmp_path / "none")]) == 1
    assert main(["replay", "--bundle", str(path), "--layout", "x"]) == 2


# --- the words ---


def other() -> OtherNames:
    return OtherNames(SALT)


def test_the_same_text_has_the_same_other_one_wherever_it_is():
    names = other()
    data = {"project": "acme/a", "trees": {"acme/a": [], "acme/b": []}, "text": "acme/a"}
    told = names.value(data)
    assert told["project"] == told["text"] == next(iter(told["trees"]))
    assert len(set(told["trees"])) == 2


def test_texts_that_are_made_of_others_are_taken_apart():
    names = other()
    branch, project_, host = (names.text(each, "x") for each in ("stable", "acme/a", "acme.example"))
    assert names.text("refs/heads/stable") == f"refs/heads/{branch}"
    assert names.text("merged:gerrit:acme/a") == f"merged:gerrit:{project_}"
    assert names.text("build:acme/a") == f"build:{project_}"
    assert names.text("acme/a/+/12") == f"{project_}/+/12"
    assert names.text("https://acme.example/c/acme/a/+/12") == f"https://{host}.invalid/12"
    assert names.text("refs/zuul/stable/Z" + "0" * 32) == f"refs/zuul/{branch}/Z" + "0" * 32


def test_footers_name_the_same_changes_as_the_records_do():
    names = other()
    change_id = "I" + "ab" * 20
    message = names.text(f"Acme\n\nDepends-On: {change_id}\nDepends-On: https://acme.example/7\n", "commit_message")
    assert f"Depends-On: {names.text(change_id)}\n" in message
    assert message.endswith("/7")
    assert re.fullmatch("I[0-9a-f]{40}", names.text(change_id))
    assert names.text(change_id) != change_id
    assert OtherNames(b"other" * 8).text(change_id) != names.text(change_id), "nobody can find out which it was"


@pytest.mark.parametrize(
    "kept", ["12", "12,3", "SUCCESS", "patchset-created", "Z" + "a" * 32, "refs/changes/01/1/2", "0" * 40, "0 2 * * *"]
)
def test_what_is_nobodys_name_stays(kept):
    assert other().text(kept) == kept


@pytest.mark.parametrize("gone", ["10.1.2.3", "node-7", "ada@acme.example", "a" * 40, "/srv/ada", "{acme}", "fe80::1"])
def test_whatever_else_does_not(gone):
    assert gone not in other().text(gone)


def test_patterns_keep_what_they_take_from_builds():
    told = other().text(
        "http://acme/{build.parameters[LOG_PATH]}/{change.number}/{build.parameters[ACME]}", "url_pattern"
    )
    assert told.endswith("{build.parameters[LOG_PATH]}{change.number}")
    assert "acme" not in told.lower()
