"""Looking for a required text first changes no answer (layout.md 2.1)."""

from __future__ import annotations

import re
import warnings

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ci_gate.config.layout.expressions import BadExpressionError, compile_expression
from ci_gate.config.layout.required import asking_first


def asked(source: str, text: str) -> bool:
    """Is the text searched at all?"""
    searched = []
    asking_first(source, lambda found: bool(searched.append(found)))(text)
    return bool(searched)


@pytest.mark.parametrize(
    ("source", "text", "searches"),
    [
        ("recheck", "please look", False),
        ("recheck", "a recheck b", True),
        ("recheck", "ReCheck", False),
        ("(?i)recheck", "ReCheck", True),
        (r"(?i)^(Patch Set [0-9]+:)?\s*recheck", "Patch Set 2:\n\nNo.", False),
        ("re(check|verify)", "reverify", True),
        ("(recheck)?x", "x", True),
        ("(recheck)+x", "x", False),
        ("ab|cd", "x", True),
        ("(?!recheck)x", "x", True),
        ("(?i:recheck)", "x", True),
        ("(?iu)sss", "\u017f\u017f\u017f", True),
        ("(?i)kkk", "\u212akk", True),
        ("ab", "x", True),
    ],
)
def test_a_text_without_what_every_match_has_is_not_searched(source, text, searches):
    assert asked(source, text) == searches


@given(
    st.lists(
        st.sampled_from(
            [
                *"abkK^$.*+?|()1 ",
                *("{2}", "{0,3}"),
                "(?i)",
                "(?m)",
                "(?u)",
                "abk",
                "(ab)",
                "(?:k|a)",
                r"\b",
                "[k]",
                "ß",
                "ſ",
            ]
        ),
        max_size=8,
    ).map("".join),
    st.text(alphabet="abkK1 \nß\u212aſİ", max_size=12),
)
@settings(max_examples=2500, deadline=None)
@example("(?i)kkk", "\u212aKK")
@example("(abk)*?x|abk", "abk")
def test_what_strangers_write_is_found_as_re_finds_it(source, text):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expression = compile_expression(source, for_strangers=True)
        except BadExpressionError:
            return
        unicode_wanted = re.match(r"\(\?[aimsx]*u", expression.python_source)
        expected = re.search(expression.python_source, text, 0 if unicode_wanted else re.ASCII) is not None
    assert expression.search(text) == expected
