"""Questions about changes in a crowd: one command for many of them, one question a change."""

from __future__ import annotations

import asyncio

import pytest
from gerrit_parts import PROJECT

from ci_gate.gerrit import query as query_module
from ci_gate.gerrit.batching import MOST, Batching
from ci_gate.gerrit.query import QueryFailedError, query_change


def queries(gerrit) -> list[str]:
    return [each.line for each in gerrit.received if "gerrit query" in each.line]


@pytest.fixture
def changes(gerrit):
    """Fifty of them."""
    return [str(gerrit.create_change(PROJECT, {f"f{n}": "x\n"}, "Change\n", by="dev").number) for n in range(50)]


async def test_one_question_alone_is_asked_as_ever(gerrit, pool, change):
    await query_change(pool, "1")
    assert queries(gerrit) == [f"gerrit query --format json {query_module.OPTIONS} 'change:1'"]


async def test_a_burst_about_one_change_is_one_query(gerrit, pool, change):
    found = await asyncio.gather(*(query_change(pool, "1") for _ in range(200)))
    assert {each.number for each in found} == {"1"}
    assert len(queries(gerrit)) == 1


async def test_a_burst_about_many_is_a_few(gerrit, pool, changes):
    found = await asyncio.gather(*(query_change(pool, each) for each in [*changes, "4711", *changes]))
    assert [each and each.number for each in found] == [*changes, None, *changes]
    together, alone = queries(gerrit)[:-1], queries(gerrit)[-1]
    assert len(together) == -(-len({*changes, "4711"}) // MOST)
    assert alone.endswith(" 'change:4711'"), "no event is given up for an answer about others"


async def test_a_page_that_ends_early_is_no_end(gerrit, pool, changes):
    object.__setattr__(gerrit._site.settings, "query_limit", 7)  # a server's own limit, which it keeps to itself
    found = await asyncio.gather(*(query_change(pool, each) for each in changes))
    assert [each.number for each in found] == changes


@pytest.mark.parametrize("rows", [0, 1, 3])
async def test_what_a_server_cuts_off_without_a_word_is_not_taken_as_missing(rows):
    """One that is old, or that does not understand a question about many."""

    async def ask(terms):
        numbers = [each.split(":")[1] for each in terms().strip("()").split(" OR ")]
        return [{"number": each} for each in numbers if each != "7"][: rows if len(numbers) > 1 else 1], False

    batching = Batching(ask, sure=True)
    found = await asyncio.gather(*(batching.record_of(str(each)) for each in range(10)))
    assert [each and each["number"] for each in found] == [*"0123456", None, *"89"]


async def test_readiness_is_asked_together_too(gerrit, access, changes):
    found = await asyncio.gather(*(access.query_change(each, readiness=True) for each in changes[:MOST]))
    assert [each.is_submittable for each in found] == [False] * MOST
    asked = [each for each in queries(gerrit) if "is:submittable" in each]
    assert all(each.startswith("gerrit query --format json '") for each in asked)
    assert len(asked) <= 3
    assert max(each.count(" OR ") for each in asked) > MOST // 2


class Asked:
    """In the place of Gerrit: a question waits for its turn, and is answered when a test says so."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.turn, self.answer = asyncio.Event(), asyncio.Event()
        self.failing: set[str] = set()

    async def __call__(self, terms):
        await self.turn.wait()
        text = terms()
        self.asked.append(text)
        await self.answer.wait()
        numbers = [each.split(":")[1] for each in text.strip("()").split(" OR ")]
        if self.failing & set(numbers):
            raise QueryFailedError("no", transient=True)
        return [{"number": int(each), "round": len(self.asked)} for each in numbers], False


async def test_an_answer_is_never_older_than_its_question():
    asked = Asked()
    batching = Batching(asked)
    asked.turn.set()
    first = asyncio.create_task(batching.record_of("7"))
    for _ in range(5):
        await asyncio.sleep(0)
    assert asked.asked == ["change:7"]
    later = asyncio.create_task(batching.record_of("7"))
    asked.answer.set()
    assert [(await first)["round"], (await later)["round"]] == [1, 2]
    assert len(asked.asked) == 2


async def test_who_waits_for_a_turn_is_joined():
    asked = Asked()
    batching = Batching(asked)
    waiting = [asyncio.create_task(batching.record_of(str(number))) for number in (1, 2, 1)]
    for _ in range(5):
        await asyncio.sleep(0)
    asked.turn.set()
    asked.answer.set()
    assert [each["number"] for each in await asyncio.gather(*waiting)] == [1, 2, 1]
    assert asked.asked == ["(change:1 OR change:2)"]


async def test_one_who_goes_takes_nobody_with_him():
    asked = Asked()
    batching = Batching(asked)
    one, other = (asyncio.create_task(batching.record_of(number)) for number in "12")
    for _ in range(5):
        await asyncio.sleep(0)
    one.cancel()
    asked.turn.set()
    asked.answer.set()
    assert (await other)["number"] == 2
    assert one.cancelled()


async def test_what_fails_in_a_group_is_asked_again_in_smaller_ones_until_only_the_cause_fails():
    asked = Asked()
    asked.failing = {"3"}
    asked.turn.set()
    asked.answer.set()
    batching = Batching(asked)
    answered: set[int] = set()
    left = [str(number) for number in range(1, 17)]
    for _ in range(8):
        told = await asyncio.gather(*(batching.record_of(each) for each in left), return_exceptions=True)
        answered |= {each["number"] for each in told if isinstance(each, dict)}
        left = [number for number in left if int(number) not in answered]
    assert left == ["3"]
