"""Expressions that compile and cannot be meant: those that take for ever, and those that find nothing."""

from __future__ import annotations

import re
import warnings

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from layout_parts import CHECK

from ci_gate.config.layout.backtracking import may_take_for_ever
from ci_gate.config.layout.impossible import beginning, can_never_match


@pytest.mark.parametrize(
    "source",
    [
        "(a+)+", "(a*)*", "(.*x)*", r"^(\w+\s?)+$", "(a{1,3})*", "(a+b?)*", "(a|a.)*", "(x+x+)+y", r"(\d+)+$",
        "(a+|b)*", "^(([a-z])+.)+[A-Z]([a-z])+$", "(?!(a+)+)b", "(a|b|ab)*c", r"(a+)+\1", "(a{20})+(a+)*",
    ],
)  # fmt: skip
def test_a_repeat_that_can_split_a_text_in_countless_ways_is_found(source):
    assert may_take_for_ever(source)


@pytest.mark.parametrize(
    "source",
    [
        "a*a*a*", "(a|b)*", r"( [\w\\+-]*)*", "(a{2})*", "(ab*)*", "((ab)*c)*", "(?:x*y)*", "(a?){9}", "(/[^/]+)*/x",
        "^gate-(puppet-.*-(syntax|unit)-|tripleo-).*$", r"^(?:\w+-)*\w+$", "(", r"(a)\1*", "((a{9}){9}){9}", "",
        "(?u)(ä)+", "(?i)(a|A|b)*",
    ],
)  # fmt: skip
def test_one_that_cannot_is_left_alone(source):
    assert not may_take_for_ever(source)


@pytest.mark.parametrize("source", ["a^", "$x", "(?!)", "(a^)", r"a\Zb", r"(a|b)^x", "(a^|$b)", "(a^)+", "$.", r"a\A"])
def test_what_nothing_can_match_is_found(source):
    assert can_never_match(source)


@given(
    st.lists(
        st.sampled_from([*"a^$()|*+?\n", "[ab]", "[^b]", r"\Z", r"\A", "(?m)", "(?!", "{0}"]),
        max_size=9,
    ).map("".join),
    st.text(alphabet="ab\n", max_size=5),
)  # fmt: skip
@settings(max_examples=3000, deadline=None)
@example("a$\n", "a\n")
@example("(?m)a$^", "a\n")
@example("a(^b)*", "a")
def test_what_is_called_impossible_matches_nothing(source, text):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = re.search(source, text, re.ASCII)
        except re.error:
            return
    assert not (found and can_never_match(source))


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("^recheck", "recheck"),
        (r"(?i)^\s*re", "re"),
        (r"\A *x", "x"),
        ("(?m)^recheck", ""),
        ("^(Patch)?x", ""),
        ("recheck", ""),
        ("^a*x", ""),
        ("(", ""),
    ],
)
def test_what_a_text_must_begin_with_is_read_from_the_expression(source, text):
    assert beginning(source) == text


def test_doubts_are_told_where_they_are(layouts):
    text = CHECK.replace("patchset-created", "comment-added") + (
        "          comment: ['^recheck', '(?m)^recheck$', '^(a|a|b?)*$', '^Patch Set']\n"
        "          branch: [^(a+)+$, x^, ^master$]\n"
        "          username: (a+)+(?<!x)\n"
        "jobs:\n  - {name: '^(x*)*y', files: ^docs/}\n"
        "projects: []\n"
    )
    assert layouts.problems(text) == [
        "7:21 never-matches",
        "8:20 slow-regex",
        "8:29 never-matches",
        "9:21 slow-regex",
        "11:12 slow-regex",
    ]


@pytest.mark.parametrize(
    ("ref", "told"),
    [("'.*'", 1), ("['^master$', '^refs/.*']", 1), ("^(?!refs/).*$", 0), ("^refs/(heads|tags)/.*$", 0)],
)
def test_a_pipeline_that_every_comment_on_a_change_starts_is_told_of(layouts, ref, told):
    text = CHECK.replace("patchset-created", "ref-updated") + f"          ref: {ref}\nprojects: []\n"
    found = layouts.texts(text)
    assert len(found) == told
    assert all("refs/changes/01/1/meta" in each for each in found)


def test_the_old_name_of_comment_is_looked_at_too(layouts):
    text = CHECK.replace("patchset-created", "comment-added") + "          comment_filter: ^recheck\nprojects: []\n"
    assert layouts.texts(text) == [
        "comment_filter: this finds nothing, since comments begin with `Patch Set N:`; write (?m)^recheck"
    ]
