"""What Jenkins shows beside a build: links, and nothing that could be more than text."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ci_gate.model.change import Change, ChangeKey, RefKey, RefUpdate
from ci_gate.scheduler.chains import EMPTY, Chain
from ci_gate.scheduler.descriptions import MOST_AHEAD, build_description


def change(number: int) -> Change:
    key = ChangeKey("review", str(number), "2")
    return Change(key, "demo/app", "master", f"refs/changes/{number}", url=f"https://review/{number}")


def chain_of(*changes: Change) -> Chain:
    chain = EMPTY
    for each in changes:
        chain = chain.with_next(each)
    return chain


def test_a_change_is_linked_and_named_with_its_place():
    assert build_description(change(7), "check", chain_of(change(7))) == (
        '<a href="https://review/7">7,2</a> of demo/app, pipeline check, branch master'
    )


def test_changes_ahead_are_named_the_nearest_of_many():
    two = build_description(change(7), "gate", chain_of(change(5), change(6), change(7)))
    assert two.endswith(', together with <a href="https://review/5">5,2</a>, <a href="https://review/6">6,2</a>')
    ahead = [change(number) for number in range(100, 100 + MOST_AHEAD + 3)]
    many = build_description(change(7), "gate", chain_of(*ahead, change(7)))
    assert ", together with 3 more, <a" in many
    assert many.count("<a") == MOST_AHEAD + 1


def test_nothing_from_outside_is_more_than_text():
    odd = replace(change(7), project="<script>", branch='"&', url='https://review/"><script>')
    text = build_description(odd, "<b>", chain_of(odd))
    assert "<script>" not in text
    assert "<b>" not in text
    assert '"&' not in text


@pytest.mark.parametrize("url", [None, "javascript:alert(1)", "//review/7"])
def test_what_is_no_web_address_is_not_linked(url):
    assert "<a" not in build_description(replace(change(7), url=url), "check", EMPTY)


def test_a_ref_is_told_with_its_revisions():
    update = RefUpdate(RefKey("review", "demo/app", "master", "b" * 40), "a" * 40, url="https://git/b")
    text = build_description(update, "post", EMPTY)
    assert text == '<a href="https://git/b">master from aaaaaaa to bbbbbbb</a> of demo/app, pipeline post'
