"""Which names an expression matches is told without trying them all, and is the same as if all were tried."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ci_gate.config.layout.expressions import BadExpressionError, compile_expression
from ci_gate.config.layout.name_index import Literals, NameIndex, literals

PARTS = [
    *("^", "$", "ab", "a", "-", ".*", ".", "b*", "a+", "b?", "(a|b)", "(?:ab)?", "[ab]", r"\-", "|"),
    *("(?!a)", "(?i)", "(?<!a)", "(?#a)", "b{0,1}", "[]a]", r"[\]a]", "(?P<x>a)", "(?(1)a|b)", "((a)|b)*", "b*+"),
    *("(ab|-a)", "(?:ab|(a))", "(ab|a)*", "(?:(a)b|(b)a)+", "(?>ab)"),
]
EXPRESSIONS = st.text(alphabet=r"ab-^$.*+?|()[]\w1{}", max_size=9) | st.lists(st.sampled_from(PARTS), max_size=6).map(
    "".join
)


@given(EXPRESSIONS, st.sets(st.text(alphabet="ab-1.", max_size=6), max_size=60))
@settings(max_examples=1500, deadline=None)
@example(r"^\(a\)$", {"(a)", "a"})
@example("^ab*$", {"a", "ab", "abb"} | {f"b{number}" for number in range(30)})
@example("^a|b$", {"a", "b", "ab"} | {f"b{number}" for number in range(30)})
@example("^a-.*-b$", {"a-b", "a--b"})
@example("^[ab]-$", {"a-", "b-", "[ab]-"} | {f"a{number}" for number in range(30)})
def test_an_index_finds_what_trying_all_would_find(source, names):
    with contextlib.suppress(BadExpressionError):
        expression = compile_expression(source)
        assert sorted(NameIndex(names).matching(expression)) == sorted(each for each in names if expression.match(each))


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("^gate-.*-docs-(a|b)$", Literals("gate-", ("-docs-",))),
        ("^.*-dsvm-.*$", Literals("", ("-dsvm-",))),
        ("^gate-(longer-(a|b)|other.*|.*or-this)-x", Literals("gate-", ("longer-", "other", "or-this"))),
        ("^gate-(longer|other)?-x", Literals("gate-", ("-x",))),
        ("^gate-(longer|)", Literals("gate-")),
        ("^(?=longer)x", Literals("", ("x",))),
        ("^ab?-docs", Literals("a", ("-docs",))),
        ("^(?!gate-).*-docs$", Literals("", ("-docs",))),
        ("^gate-.*(?<!-x)$", Literals("gate-")),
        ("^a|b$", Literals()),
        ("^ab{0}", Literals()),
        ("(?i)^ab", Literals()),
        ("^(?#ab)c", Literals()),
        (r"^[\]ab]", Literals()),
    ],
)
def test_what_every_match_has_is_read_from_the_expression(source, found):
    assert literals(source) == found


def test_no_names_match_nothing():
    assert NameIndex([]).matching(compile_expression(".*")) == []
