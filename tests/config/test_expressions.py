"""Python 2.7's regular expressions in today's (layout.md 2.1)."""

from __future__ import annotations

import re
import time
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ci_gate.config.layout.expressions import BadExpressionError, compile_expression, is_plain


@pytest.mark.parametrize(
    ("source", "matches", "not_matches"),
    [
        ("re(?i)check", "RECHECK", "reject"),
        (r"\echo", "echo", r"\echo"),
        (r"[\e]x", "ex", "fx"),
        (r"\w+$", "abc", "äöü"),
        (r"(?u)\w+$", "äöü", "--"),
        (r"(?iu)Ä", "ä", "a"),
        ("(?i)ä", "ä", "Ä"),
        ("(?L)x", "x", "y"),
        ("[]a]x", "]x", "bx"),
        ("[^]a]x", "bx", "]x"),
        (r"a\.b", "a.b", "axb"),
        (r"a\\b", r"a\b", "ab"),
        ("[[a]x", "[x", "bx"),
        ("[a|b&&c~~d]x", "|x", "ex"),
        ("[+--]x", ",x", "ax"),
        (r"^(?!docs/).*$", "src/x", "docs/x"),
    ],
)
def test_an_old_expression_means_what_it_meant(source, matches, not_matches):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expression = compile_expression(source)
    assert expression.match(matches)
    assert not expression.match(not_matches)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("*.py", "nothing to repeat at offset 0"),
        ("(a", "missing ), unterminated subpattern at offset 0"),
        ("a[", "unterminated character set at offset 1"),
        ("x{99999999999}", "too large a number"),
        ("(" * 5000, "nested too deeply"),
        ("a\\", "bad escape (end of pattern) at offset 1"),
    ],
)
def test_a_broken_one_says_why_and_where(source, reason):
    with pytest.raises(BadExpressionError, match=re.escape(reason)):
        compile_expression(source)


@given(st.text(alphabet="abc^$.*+?|()[]-{}0123456789", max_size=20))
def test_an_expression_without_oddities_stays_as_it_is(source):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            wanted = re.compile(source, re.ASCII)
    except (re.error, FutureWarning, OverflowError):
        return
    expression = compile_expression(source)
    for text in ("", "a", "abc", "aabbcc", "a-b", "(a)", "[b]"):
        assert expression.match(text) == (wanted.match(text) is not None)
        assert expression.search(text) == (wanted.search(text) is not None)


@given(
    st.lists(
        st.sampled_from([*"ab^$.*+?|()-1 \\[]", "[ab]", "[^a-z]", r"\.", r"\w", r"\(", "(?:", "(?i)", "{2}"]),
        max_size=12,
    ).map("".join)
)
@settings(max_examples=2000)
def test_what_is_taken_as_plain_compiles_as_it_is(source):
    if is_plain(source):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            re.compile(source, re.ASCII)
        assert compile_expression(source).python_source == source


@pytest.mark.parametrize("text", ["a" * 5000 + "(", "(a" * 3000, "((" + "a|b" * 3000, "[0-9a-z" * 2000])
def test_telling_plain_ones_takes_no_time(text):
    began = time.monotonic()
    assert not is_plain(text)
    assert time.monotonic() - began < 0.5


@given(st.text(max_size=30))
def test_whatever_the_text_it_compiles_or_is_refused(source):
    try:
        compile_expression(source)
    except BadExpressionError as refused:
        assert str(refused)  # noqa: PT017  # either outcome is fine, silence is not
