"""Searching in linear time says what ``re`` says (layout.md 2.1)."""

from __future__ import annotations

import re
import time
import warnings

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from layout_parts import CHECK

from ci_gate.config.layout.expressions import compile_expression
from ci_gate.config.layout.linear import linear_match, linear_search
from ci_gate.config.layout.timed import timed_match, timed_search

TEXTS = [
    "",
    "\n",
    "recheck",
    "Patch Set 3: Code-Review+1\n\nrecheck",
    "Patch Set 3:\n\n  Recheck \n",
    "recheck\n\n",
    "a\x0bb\x0cc\x1cd\xa0e\u2028f",
    "ÄÖ ß ı İ K K ſ s",
    "x\ny\nz",
    "\ud800x",
    "\x00",
    "-_.9",
]


def python_says(source: str, text: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return re.search(source, text, re.ASCII) is not None


@pytest.mark.parametrize(
    "source",
    [
        "recheck",
        "^recheck",
        "(?m)^recheck$",
        r"(?i)^\s*recheck-VENDOR\s*$",
        r"(?im)^\s*recheck(\s+(no\s+bug|bug\s+\d+))?\s*$",
        r"(?i)^(Patch Set [0-9]+:)?( [\w\\+-]*)*(\n\n)?\s*(recheck|reverify)",
        "check$",
        "^$",
        "$",
        r"\Arecheck\Z",
        "(?s)a.b",
        "a.b",
        r"\bx\b",
        r"[^\w\s]",
        r"[\W\d]+$",
        r"[^\S\n]x",
        "(?i)[k-s]",
        "(?i)ſ",
        "(?i)ä",
        "x{2,5}?|y*",
        "(a|b$)",
        "[^a]",
        r"\s",
        r"\D\S\W",
        "(?m)^",
        "(?m)$",
    ],
)
def test_it_finds_what_re_finds(source):
    search = linear_search(source)
    assert search is not None
    for text in TEXTS:
        assert search(text) == python_says(source, text), (source, text)


@pytest.mark.parametrize(
    "source", [r"a(?!x)", "(?<=a)b", r"(a)\1", r"\B", "(?i:a)b", "a$b", "(?u)x", "x{2000}", "(?(1)a|b)", "("]
)
def test_what_it_has_no_means_for_is_left_alone(source):
    assert linear_search(source) is None


@pytest.mark.parametrize(
    "source",
    [
        "^(?!x)",
        r"\A(?!.*recheck)",
        "^(?!x$)",
        "^(?!Patch Set)(?=x).*$",
        "(?i)^(?!.*K)",
        "(?s)^(?!.*recheck).*$",
        r"^(?!.*(recheck|reverify)\n)\S*",
    ],
)
def test_looks_ahead_at_the_beginning_are_linear_too(source):
    search = linear_search(source)
    assert search is not None
    for text in TEXTS:
        assert search(text) == python_says(source, text), (source, text)


PIECES = st.text(alphabet=r"ab^$.*+?|()[]-12\wsd", max_size=6)


@given(
    st.lists(st.tuples(st.sampled_from("!="), PIECES), max_size=3), PIECES, st.text(alphabet="abAB\n12-_ä", max_size=8)
)
@settings(max_examples=800, deadline=None)
def test_looks_ahead_agree_with_re(looks, rest, text):
    source = "^" + "".join(f"(?{kind}{inner})" for kind, inner in looks) + rest
    try:
        expected = python_says(source, text)
    except (re.error, OverflowError):
        return
    search = linear_search(source)
    assert search is None or search(text) == expected


@given(
    st.text(alphabet=r"ab^$.*+?|()[]-{}12\wsdbSWD,:im<=!", max_size=14),
    st.text(alphabet="abAB\n \x0b12-_äſK", max_size=10),
)
@settings(max_examples=1500, deadline=None)
@example("(?<=a)b$", "ab\n")
@example(r"(a|b)\1", "abb")
@example("a(?!b)", "ab")
@example("{1d<", "")
@example("(?:ab){e}", "ax")
@example("[[:alpha:]]x", "a]x")
def test_what_has_a_deadline_agrees_with_re(source, text):
    try:
        expected = python_says(source, text)
    except (re.error, OverflowError):
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search = timed_search(source)
    assert search is None or search(text) == expected


def test_what_takes_too_long_is_taken_as_not_found():
    expression = compile_expression(r"(?<!x)(a|a|b?)*c\1$", for_strangers=True)
    began = time.monotonic()
    assert not expression.search("a" * 3000)
    assert time.monotonic() - began < 2.0
    assert not expression.search("y")


@given(
    st.text(alphabet=r"ab^$.*+?|()[]-{}12\wsdbSWD,:im", max_size=14),
    st.text(alphabet="abAB\n \x0b12-_äſK", max_size=10),
)
@settings(max_examples=1500, deadline=None)
@example("a$", "a\n")
@example("(?m)a$", "a\nb")
@example("(?i)[a-s]", "K")
def test_whatever_the_expression_both_agree_or_it_is_left_to_re(source, text):
    try:
        expected = python_says(source, text)
    except (re.error, OverflowError):
        return
    search = linear_search(source)
    assert search is None or search(text) == expected


@given(
    st.text(alphabet=r"ab^$.*+?|()[]-{}12\wsdbSWD,:im<=!", max_size=14),
    st.text(alphabet="abAB\n \x0b12-_äſK", max_size=10),
)
@settings(max_examples=1500, deadline=None)
@example("a$", "a\n")
@example("x|ab", "cab")
@example("^(?!x)a", "xa")
def test_matching_from_the_beginning_agrees_with_re(source, text):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expected = re.match(source, text, re.ASCII) is not None
        except (re.error, OverflowError):
            return
        matches = [linear_match(source), timed_match(source)]
    assert all(match(text) == expected for match in matches if match is not None)


@pytest.mark.parametrize("source", ["^(a+)+$", r"^(a+)+(?<!x)$", r"^((a)+\2)+$"])
def test_not_even_the_name_of_a_branch_can_hang_the_service(layouts, source):
    text = CHECK + f"          branch: '{source}'\njobs:\n  - {{name: '{source}', files: '{source}'}}\n" + (
        f"projects:\n  - {{name: x, check: [{'a' * 40}-b]}}\n"
    )
    began = time.monotonic()
    layout = layouts.layout(text)
    (branch,) = layout.pipelines[0].triggers[0].branches
    assert not branch.match("a" * 40 + "!")
    assert branch.match("aaaa")
    assert time.monotonic() - began < 2.0


def test_a_comment_cannot_hang_the_service(layouts):
    text = CHECK.replace("patchset-created", "comment-added") + "          comment: '^(a|a|b?)*$'\nprojects: []\n"
    (pipeline,) = layouts.layout(text).pipelines
    (expression,) = pipeline.triggers[0].comments
    began = time.monotonic()
    assert not expression.search("a" * 5000 + "!")
    assert time.monotonic() - began < 1.0


def test_names_and_addresses_of_strangers_are_searched_the_same_way(layouts):
    text = CHECK + (
        "          email: x\n          username: x\n          require-approval: {username: x, email: x}\nprojects: []\n"
    )
    (found,) = layouts.layout(text).pipelines[0].triggers
    (vote,) = found.require_approval
    assert all(each.make_search for each in (*found.emails, *found.usernames, vote.username, vote.email))
