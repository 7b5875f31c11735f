"""Operators' functions: loaded from python-files, called before each launch (layout.md 4 and 6.10)."""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest
from layout_parts import CHECK

from ci_gate.config.functions import call_function
from ci_gate.config.layout import Functions
from ci_gate.model.build import Precedence
from ci_gate.model.change import (
    Account,
    Change,
    ChangeKey,
    Periodic,
    PeriodicKey,
    RefKey,
    RefUpdate,
    SubmitRecord,
    Vote,
)
from ci_gate.model.item import ItemView
from ci_gate.model.layout import Job

CHANGE = Change(
    ChangeKey("gerrit", "110", "2"),
    "demo/app",
    "master",
    "refs/changes/10/110/2",
    url="https://r/110",
    owner=Account("Ann", "ann@example.org", "ann"),
    files=("/COMMIT_MSG", "a"),
    votes=(Vote("Code-Review", 2, Account("Bo", None, "bo"), 12.0),),
)
REF = RefUpdate(RefKey("gerrit", "demo/app", "refs/heads/x", "b" * 40), "a" * 40, "https://r/x")
TIMER = Periodic(PeriodicKey("gerrit", "demo/app"))
PROJECTS = "projects:\n  - name: demo/app\n    check: [unit]\n"


def item(subject=CHANGE) -> ItemView:
    return ItemView(subject, "check", Precedence.LOW, "demo/app", 1000.0, ref="Z1", commit="c" * 40)


def call(function, subject=CHANGE, job=None, **parameters):
    job = job or Job("unit", tags=frozenset({"slow"}), mutex="lab")
    return call_function(Functions({"f": function}), "f", item(subject), job, parameters)


def test_three_arguments_are_item_job_and_params():
    def function(item, job, params):
        params["X"] = f"{item.change.number} {job.name} {params['A']}"

    assert call(function, A="1").parameters == {"A": "1", "X": "110 unit 1"}


def test_exactly_two_are_item_and_params():
    def function(item, params):
        params["X"] = item.pipeline.name

    assert call(function).parameters == {"X": "check"}


class Callable:
    def __call__(self, item, job, params):
        params["X"] = job.name

    def method(self, item, params):
        params["X"] = "two"


@pytest.mark.parametrize(
    ("function", "value"),
    [
        (lambda *given: given[2].update(X=len(given)), 3),
        (lambda item, job, params, more=1: params.update(X=more), 1),
        (Callable(), "unit"),
        (Callable().method, "two"),
        (functools.partial(lambda extra, item, job, params: params.update(X=extra), 7), 7),
    ],
)
def test_any_callable_will_do(function, value):
    assert call(function).parameters["X"] == value


def test_what_a_function_returns_is_ignored_and_what_it_deletes_is_gone():
    def function(item, job, params):
        del params["A"]
        return {"A": "2"}

    assert call(function, A="1").parameters == {}


@pytest.mark.parametrize(
    ("problem", "text"), [(KeyError("node"), "KeyError: 'node'"), (SystemExit(3), "SystemExit: 3")]
)
def test_what_it_raises_is_told_and_the_parameters_stay(problem, text):
    def function(item, job, params):
        params["X"] = "half done"
        raise problem

    called = call(function, A="1")
    assert (called.error, called.parameters) == (text, {"A": "1"})
    assert "raise problem" in called.traceback


EVERYTHING = {
    "change": CHANGE,
    "ref": REF,
    "timer": TIMER,
}
ATTRIBUTES = {
    "change": "project branch number patchset refspec url files owner status open is_current_patchset is_merged "
    "can_merge approvals needs_changes needed_by_changes",
    "ref": "project ref oldrev newrev url",
    "timer": "project",
}
ABSENT = {
    "change": "ref oldrev newrev",
    "ref": "branch refspec number patchset files",
    "timer": "branch refspec number ref url",
}


@pytest.mark.parametrize("kind", EVERYTHING)
def test_hasattr_tells_the_kinds_of_subjects_apart(kind):
    def function(item, job, params):
        params["there"] = [name for name in ATTRIBUTES[kind].split() if not hasattr(item.change, name)]
        params["absent"] = [name for name in ABSENT[kind].split() if hasattr(item.change, name)]

    assert call(function, EVERYTHING[kind]).parameters == {"there": [], "absent": []}


def test_items_and_jobs_have_all_that_was_promised():
    """layout.md 6.10."""
    of_item = "change pipeline queue item_ahead items_behind enqueue_time live active current_build_set"
    of_job = (
        "name tags voting mutex queue_name failure_message success_message failure_pattern success_pattern "
        "hold_following_changes attempts"
    )

    def function(item, job, params):
        params["missing"] = [name for name in of_item.split() if not hasattr(item, name)]
        params["missing"] += [name for name in of_job.split() if not hasattr(job, name)]
        params["pipeline"] = (item.pipeline.name, item.pipeline.precedence, item.queue.name)
        params["set"] = (item.current_build_set.ref, item.current_build_set.commit, item.current_build_set.zuul_url)
        params["job"] = (job.name, job.tags, job.voting, job.mutex, job.attempts)

    assert call(function, ZUUL_URL="http://z/p").parameters == {
        "ZUUL_URL": "http://z/p",
        "missing": [],
        "pipeline": ("check", "low", "demo/app"),
        "set": ("Z1", "c" * 40, "http://z/p"),
        "job": ("unit", {"slow"}, True, "lab", 3),
    }


def test_what_is_around_a_change_can_be_asked_for():
    change = replace(CHANGE, needs=(ChangeKey("gerrit", "109", "1"),), needed_by=(ChangeKey("gerrit", "111", "3"),))
    around = replace(item(change), item_ahead="109,1", items_behind=("111,3", "f" * 40))

    def function(item, params):
        params["needs"] = [(each.number, each.patchset, str(each)) for each in item.change.needs_changes]
        params["needed"] = [each.number for each in item.change.needed_by_changes]
        params["ahead"] = (item.item_ahead.change.number, str(item.item_ahead))
        params["behind"] = [getattr(each.change, "number", None) for each in item.items_behind]
        params["newrev"] = item.items_behind[1].change.newrev

    assert call_function(Functions({"f": function}), "f", around, Job("unit"), {}).parameters == {
        "needs": [("109", "1", "109,1")],
        "needed": ["111"],
        "ahead": ("109", "109,1"),
        "behind": ["111", None],
        "newrev": "f" * 40,
    }


def test_nobody_is_ahead_of_the_first():
    def function(item, params):
        params["X"] = (item.item_ahead, item.items_behind, item.change.needs_changes)

    assert call(function).parameters == {"X": (None, [], [])}


def test_a_change_has_the_types_that_were_promised():
    def function(item, job, params):
        change = item.change
        params["X"] = (change.project.name, change.number, change.patchset, change.files, change.owner, str(change))
        params["votes"] = change.approvals

    found = call(function).parameters
    assert found["X"] == ("demo/app", "110", "2", ["/COMMIT_MSG", "a"], "ann", "110,2")
    assert found["votes"] == [
        {
            "type": "Code-Review",
            "description": "Code-Review",
            "value": "2",
            "by": {"name": "Bo", "username": "bo"},
            "grantedOn": 12,
        }
    ]


@pytest.mark.parametrize(("status", "can"), [("OK", True), ("NOT_READY", False)])
def test_a_change_says_whether_gerrit_would_submit_it(status, can):
    def function(item, params):
        params["can"] = item.change.can_merge

    change = replace(CHANGE, submit_records=(SubmitRecord(status, ()),))
    assert call(function, change).parameters["can"] is can
    assert call(function, replace(change, is_submittable=True)).parameters["can"] is True


def test_item_and_job_have_theirs():
    def function(item, job, params):
        params["item"] = (item.queue.name, item.enqueue_time, item.live, item.current_build_set.ref)
        params["url"] = item.current_build_set.zuul_url
        params["job"] = (job.tags, job.voting, job.mutex, job.attempts, job.hold_following_changes)

    found = call(function, ZUUL_URL="http://m/p").parameters
    assert found["item"] == ("demo/app", 1000.0, True, "Z1")
    assert found["url"] == "http://m/p"
    assert found["job"] == ({"slow"}, True, "lab", 3, False)


# --- python-files ---


def test_files_share_one_namespace_and_later_ones_may_override(layouts):
    (layouts.folder / "a.py").write_text("LIMIT = 3\ndef f(item, job, params): params['X'] = LIMIT\n")
    (layouts.folder / "b.py").write_text("LIMIT = LIMIT + 1\n")
    text = CHECK + PROJECTS + "includes:\n  - python-file: a.py\n  - python-file: b.py\n"
    loaded = layouts.load(text + "jobs:\n  - name: unit\n    parameter-function: f\n")
    assert call_function(loaded.functions, "f", item(), Job("unit"), {}).parameters == {"X": 4}


def test_paths_are_relative_to_the_real_layout_and_functions_know_their_file(layouts, tmp_path):
    real = tmp_path / "real"
    real.mkdir()
    (real / "f.py").write_text(
        "import inspect\ndef f(item, job, params):\n"
        "    params['X'] = inspect.getfile(inspect.currentframe())\n    params['Y'] = __file__\n"
    )
    (real / "layout.yaml").write_text(
        CHECK + PROJECTS + "includes:\n  - python-file: f.py\njobs:\n  - {name: unit, parameter-function: f}\n"
    )
    layouts.path.symlink_to(real / "layout.yaml")
    loaded = layouts.load((real / "layout.yaml").read_text())
    found = call_function(loaded.functions, "f", item(), Job("unit"), {}).parameters
    assert found["X"] == found["Y"] == str(real / "f.py")


def test_every_load_starts_afresh(layouts):
    (layouts.folder / "f.py").write_text(
        "try:\n    COUNT += 1\nexcept NameError:\n    COUNT = 1\ndef f(i, p): p['X'] = COUNT\n"
    )
    text = CHECK + PROJECTS + "includes:\n  - python-file: f.py\njobs:\n  - {name: unit, parameter-function: f}\n"
    for _ in range(2):
        loaded = layouts.load(text)
        assert call_function(loaded.functions, "f", item(), Job("unit"), {}).parameters == {"X": 1}


def test_what_a_file_prints_does_not_disturb_our_output(layouts, capsys):
    (layouts.folder / "f.py").write_text("print('hello')\n")
    layouts.load(CHECK + "projects: []\nincludes:\n  - python-file: f.py\n")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "hello\n")


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("print 'hello'\n", "looks written for Python 2"),
        ("try:\n    pass\nexcept ValueError, e:\n    pass\n", "looks written for Python 2"),
        ("X = {}.iteritems()\n", "looks written for Python 2"),
        ("isinstance('x', basestring)\n", "looks written for Python 2"),
        ("import urllib2\n", "looks written for Python 2"),
        ("x = (\n", "SyntaxError"),
        ("\n1 / 0\n", "f.py:2"),
        ("raise SystemExit(2)\n", "SystemExit"),
        ("import no_such_module\n", "ModuleNotFoundError"),
    ],
)
def test_a_file_that_cannot_be_run_is_one_clear_problem(layouts, code, says):
    (layouts.folder / "f.py").write_text(code)
    text = CHECK + "projects: []\nincludes:\n  - python-file: f.py\n"
    assert layouts.problems(text) == ["9:18 include-failed"]
    assert says in layouts.texts(text)[0]


def test_good_python_3_is_not_called_old(layouts):
    (layouts.folder / "f.py").write_text("x = (\n")
    text = CHECK + "projects: []\nincludes:\n  - python-file: f.py\n"
    assert "Python 2" not in layouts.texts(text)[0]


def test_a_misspelt_function_is_met_with_the_nearest_name(layouts):
    (layouts.folder / "f.py").write_text("def set_node(item, params): pass\n")
    text = (
        CHECK + PROJECTS + "includes:\n  - python-file: f.py\njobs:\n  - {name: unit, parameter-function: set_nodes}\n"
    )
    assert layouts.texts(text) == [
        'parameter-function "set_nodes" is not defined in any included python-file; did you mean "set_node"?'
    ]
