"""Values at the edge of what YAML, Python and regular expressions take: each is told where it is, none breaks."""

from __future__ import annotations

import itertools
import re
import warnings

import pytest
from layout_parts import CHECK

from ci_gate.config.layout.expressions import compile_expression

EMPTY = CHECK + "projects: []\n"
SET_MEMBERS = "-[]^a&|~+"
PROBES = (*SET_MEMBERS, *"!,.b0X", "a]", "-]", "^]")


def with_trigger(trigger: str) -> str:
    return f"pipelines:\n  - {{name: check, manager: IndependentPipelineManager, trigger: {trigger}}}\nprojects: []\n"


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (":".join(["1"] * 300) + ".5", "cannot be read as float; quote it"),
        ("-" + ":".join(["1"] * 3000), "too large a number"),
        ("-0x" + "f" * 5000, "too large a number"),
        (str(2**63), "too large a number"),
        ("1" * 5000, "cannot be read as int; quote it"),
        ("!!int ''", '"" cannot be read as int'),
        ("!!bool x", '"x" cannot be read as bool'),
        ("0b_", '"0b_" cannot be read as int'),
    ],
)
def test_a_number_that_none_can_hold_is_refused_where_it_is(layouts, value, says):
    text = EMPTY + f"jobs: [{{name: a, attempts: {value}}}]\n"
    assert layouts.problems(text) == ["8:28 yaml"]
    assert says in layouts.texts(text)[0]


@pytest.mark.parametrize(
    "text",
    [
        CHECK + "projects: [{name: a, check: " + "[" * 400 + "x" + "]" * 400 + "}]\n",
        "x0: &x0 {name: check}\n"
        + "".join(f"x{i}: &x{i} {{<<: *x{i - 1}}}\n" for i in range(1, 2000))
        + "pipelines: [*x1999]\nprojects: []\n",
        "x0: &x0 [j]\n"
        + "".join(f"x{i}: &x{i} [{{j: *x{i - 1}}}]\n" for i in range(1, 2000))
        + CHECK
        + "projects: [{name: a, check: *x1999}]\n",
    ],
    ids=["lists", "merge keys", "aliases"],
)
def test_nesting_has_an_end_long_before_the_stack_has(layouts, text):
    assert layouts.texts(text) == ["not valid YAML: nested more than 200 levels deep"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ('"a\\0b"', None, "embedded null byte"),
        ("~nobody-of-this-name/f.py", None, "home directory"),
        (".", None, "Is a directory"),
        ("f.py", b"class E(Exception):\n    def __str__(self): 1/0\nraise E()\n", "E: its text cannot be made"),
        ("f.py", b"raise ValueError('a\\nb\\x1b[31m')\n", "ValueError: a\\nb\\x1b[31m ("),
        ("f.py", b"x = 1\0\n", "null bytes"),
        ("f.py", b"x = " + b"-" * 200_000 + b"1\n", "("),
    ],
    ids=["null byte", "no such user", "a folder", "error without text", "error of two lines", "binary", "too deep"],
)
def test_a_file_that_nobody_can_run_is_one_line(layouts, name, content, says):
    if content is not None:
        (layouts.folder / "f.py").write_bytes(content)
    text = EMPTY + f"includes: [{{python-file: {name}}}]\n"
    assert layouts.problems(text) == ["8:26 include-failed"]
    (told,) = layouts.texts(text)
    assert says in told
    assert told.isprintable()


def test_after_a_failed_include_functions_are_not_called_unknown_as_well(layouts):
    (layouts.folder / "f.py").write_text("raise ValueError\n")
    text = EMPTY + "includes: [{python-file: f.py}]\njobs: [{name: x, parameter-function: f}]\n"
    assert layouts.problems(text) == ["8:26 include-failed"]


def test_a_function_that_is_there_and_empty_is_no_function(layouts):
    (layouts.folder / "f.py").write_text("f = 0\n")
    text = EMPTY + "includes: [{python-file: f.py}]\njobs: [{name: x, parameter-function: f}]\n"
    assert "is not a function: it is of type int" in layouts.texts(text)[0]


@pytest.mark.parametrize("time", ["*/" + "1" * 5000, "0" * 5000, "*/٣", "99999"])
def test_an_odd_number_in_a_timer_is_a_bad_one(layouts, time):
    text = with_trigger("{timer: {time: '" + time + " * * * *'}}")
    assert [each.split()[1] for each in layouts.problems(text)] == ["bad-timer"]
    assert len(layouts.texts(text)[0]) < 300


def test_what_a_layout_says_reaches_a_terminal_in_one_harmless_line(layouts):
    found = layouts.texts(EMPTY + '"u\\nv\\e[1m": 1\n')
    assert found[0].startswith('unknown key "u\\nv\\x1b[1m" in the layout')


def test_a_pipeline_key_that_yaml_reads_as_true_asks_for_quotes(layouts):
    text = CHECK.replace("name: check", "name: 'on'") + "projects: [{name: p, on: [x]}]\n"
    assert layouts.texts(text) == [
        'the name of a pipeline must be a string, not on (which YAML reads as true); quote it: "on"'
    ]


@pytest.mark.parametrize(
    "trigger",
    [
        "{gerrit: {event: ref-updated, branch: []}}",
        "{gerrit: {event: comment-added, ref: []}}",
        "{zuul: {event: project-change-merged, pipeline: []}}",
    ],
)
def test_an_empty_list_is_a_key_that_is_not_given(layouts, trigger):
    assert layouts.problems(with_trigger(trigger)) == []


@pytest.mark.parametrize("event", ["[]", "''"])
@pytest.mark.parametrize("trigger", ["gerrit", "zuul"])
def test_a_trigger_has_to_name_an_event(layouts, trigger, event):
    text = with_trigger(f"{{{trigger}: {{event: {event}}}}}")
    assert [each.split()[1] for each in layouts.problems(text)] == ["bad-value"]


def test_a_parameter_may_have_any_name_that_a_field_can_have(layouts):
    text = "project-templates: [{name: t, check: ['{py-v}-x']}]\n" + CHECK
    layout = layouts.layout(text + "projects: [{name: p, template: [{name: t, py-v: a}]}]\n")
    assert list(layout.jobs) == ["a-x"]


def test_a_format_that_its_parameters_break_is_told_at_the_call(layouts):
    text = "project-templates: [{name: t, check: ['{n:{w}>3}-x']}]\n" + CHECK
    text += "projects: [{name: p, template: [{name: t, n: a, w: '<9'}]}]\n"
    assert layouts.problems(text) == ["8:40 bad-format"]
    assert "with these parameters" in layouts.texts(text)[0]


@pytest.mark.parametrize(
    ("job", "value", "place"),
    [
        ("a b", "x", "1:39"),
        ("^x", "x", "1:39"),
        ("^{y}", "x", "1:39"),
        ("{y}", "^x", "8:48"),
        ("{y}", "", "8:48"),
        ("{y}", "a b", "8:48"),
        ("a:{y}", "", "1:39"),
    ],
)
def test_an_expanded_name_that_is_none_is_told_where_it_went_wrong(layouts, job, value, place):
    text = f"project-templates: [{{name: t, check: ['{job}', '{{y}}-x']}}]\n" + CHECK
    text += f"projects: [{{name: p, template: [{{name: t, 'y': '{value}'}}]}}]\n"
    assert layouts.problems(text)[0].startswith(place)


def test_a_misspelt_key_of_a_project_is_no_misspelt_pipeline(layouts):
    text = CHECK + "projects: [{name: p, merge_mode: merge, templates: [{name: t}], chek: [x]}]\n"
    text += "project-templates: [{nmae: t}]\n"
    found = layouts.texts(text)
    meant = ["merge-mode", "template", "check", "name"]
    unknown = [each for each in found if each.startswith("unknown pipeline")]
    assert [f'did you mean "{each}"?' in text for each, text in zip(meant, unknown, strict=True)] == [True] * 4
    assert {each.split()[1] for each in layouts.problems(text)} == {"unknown-pipeline", "missing-key"}


def test_every_control_character_is_refused_in_the_name_of_a_job(layouts):
    text = EMPTY + 'jobs: [{name: "a\\x07b"}, {name: "a\\x7fb"}, {name: "a\\x9bb"}, {name: "a\\xe9b"}]\n'
    assert [each.split()[1] for each in layouts.problems(text)] == ["bad-job-name"] * 3


def test_fields_within_fields_have_an_end(layouts):
    text = "project-templates: [{name: t, check: ['" + "{a:" * 3000 + "}" * 3000 + "']}]\n" + EMPTY
    assert layouts.problems(text) == ["1:39 bad-format"]


def test_one_label_in_two_spellings_is_one_label(layouts):
    text = CHECK + "    require: {approval: [{Code-Review: 1, code review: 2}]}\nprojects: []\n"
    assert layouts.problems(text) == []


def test_a_parent_that_runs_for_some_changes_only_is_noted(layouts):
    text = EMPTY.replace("[]", "[{name: p, check: [{lint: [unit]}]}]") + "jobs: [{name: lint, branch: master}]\n"
    assert "7:31 conditional-parent" in layouts.problems(text, notes=True)


def test_every_small_set_of_characters_means_what_python_takes_it_for():
    """The older reading has no set operations; today's warns where it may get some, so that is what must be escaped."""
    for length in range(1, 4):
        for members in itertools.product(SET_MEMBERS, repeat=length):
            source = f"[{''.join(members)}]"
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    plain = re.compile(source)
            except re.error:
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                ours = compile_expression(source)
            for probe in PROBES:
                assert ours.match(probe) == bool(plain.match(probe)), (source, probe)


def test_a_bracket_in_a_comment_opens_no_set():
    assert compile_expression("(?#[)(?i)x").search("X")
