"""``ci-gate doctor`` itself: order, deadlines, exit status, lines for people and for machines."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest
from doctor_parts import DoctorSite

from ci_gate.cli.main import main
from ci_gate.doctor.check import Check, Finding, Mark, Step, good, unknown, wrong
from ci_gate.doctor.printing import Lines
from ci_gate.doctor.running import Once, UnwaitedThreads, run


def step(name: str, finding: Finding | None, *needs: str, group: str = "G") -> Step:
    async def look() -> Finding | None:
        return finding

    return Step(group, name, look, needs)


async def marks(*steps: Step, deadline_s: float = 5.0) -> dict[str, Finding]:
    return {each.name: each.finding async for each in run(steps, deadline_s=deadline_s)}


async def test_what_needs_something_wrong_is_not_tried_nor_is_what_needs_that():
    found = await marks(
        step("a", wrong("broken", "mend it")),
        step("b", good("fine"), "a"),
        step("c", good("fine"), "b"),
        step("d", good("fine"), "G/a", group="H"),
        step("e", good("fine")),
    )
    assert {name: each.mark for name, each in found.items()} == {
        "a": Mark.WRONG, "b": Mark.NOT_TRIED, "c": Mark.NOT_TRIED, "d": Mark.NOT_TRIED, "e": Mark.GOOD,
    }  # fmt: skip
    assert found["c"].text == "not tried: it needs b"
    assert found["d"].text == "not tried: it needs G: a"


async def test_what_cannot_be_told_keeps_nothing_from_being_tried():
    found = await marks(
        step("a", unknown("who knows")), step("b", good("fine"), "a"), step("c", None), step("d", good("x"), "c")
    )
    assert [each.mark for each in found.values()] == [Mark.UNKNOWN, Mark.GOOD, Mark.GOOD]


async def test_a_check_that_hangs_ends_at_its_deadline_and_holds_up_no_other():
    hung = threading.Event()
    asyncio.get_running_loop().set_default_executor(UnwaitedThreads())

    async def hang() -> Finding:
        await asyncio.to_thread(hung.wait)
        return good("never")

    found = await marks(Step("G", "a", hang), step("b", good("fine")), deadline_s=0.05)
    assert found["a"].mark is Mark.WRONG
    assert "no answer within 0.05 s" in found["a"].text
    assert found["b"].mark is Mark.GOOD
    await asyncio.get_running_loop().shutdown_default_executor()  # would wait for ever for a thread that is waited for
    hung.set()


async def test_a_check_that_breaks_is_told_as_such():
    async def break_() -> Finding:
        raise KeyError("x")

    found = await marks(Step("G", "a", break_), step("b", good("fine"), "a"))
    assert found["a"].mark is Mark.UNKNOWN
    assert "KeyError" in found["a"].text
    assert found["b"].mark is Mark.GOOD


async def test_what_several_ask_for_is_found_out_once_though_one_gives_up():
    calls = 0
    go_on = asyncio.Event()

    async def make() -> int:
        nonlocal calls
        calls += 1
        await go_on.wait()
        return 7

    once = Once(make)
    impatient, patient = asyncio.create_task(once()), asyncio.create_task(once())
    await asyncio.sleep(0)
    impatient.cancel()
    go_on.set()
    assert await patient == 7
    assert calls == 1


@pytest.fixture
def site(tmp_path):
    """A Gerrit that is not there makes it wrong."""
    return DoctorSite(tmp_path)


def test_exit_status_1_and_a_fix_in_the_line_after_each_cross(site, capsys):
    assert main(["doctor", "--config", str(site.write())]) == 1
    lines = capsys.readouterr().out.splitlines()
    crosses = [number for number, line in enumerate(lines) if line.lstrip().startswith("✗")]
    assert crosses
    assert all("→ " in lines[number + 1] for number in crosses)
    assert "wrong" in lines[-1]
    assert not [line for line in lines if "\033" in line], "colours are for terminals"


def test_json_has_every_check_and_nothing_else(site, capsys):
    assert main(["doctor", "--config", str(site.write()), "--format", "json"]) == 1
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert told.err == ""
    assert found["healthy"] is False
    assert sum(found["counts"].values()) == len(found["checks"])
    assert {each["mark"] for each in found["checks"]} <= set(found["counts"])
    reachable = next(each for each in found["checks"] if (each["group"], each["name"]) == ("Gerrit", "reachable"))
    assert reachable["mark"] == "wrong"
    assert reachable["fix"]


def test_a_configuration_that_is_not_there_is_refused(tmp_path, capsys):
    assert main(["doctor", "--config", str(tmp_path / "none.conf")]) == 1
    assert f"{tmp_path}/none.conf: error: there is no such configuration file" in capsys.readouterr().err


def test_on_a_terminal_signs_are_coloured_and_what_servers_say_is_not_obeyed():
    lines = Lines(coloured=True, encoding="utf-8")
    shown = lines.of(Check("G", "a", wrong("it said \033[2J\nand more", "mend it")))
    assert shown[1].startswith("  \033[31m✗\033[0m a ")
    assert "\033[2J" not in "".join(shown)
    assert not [line for line in shown if "\n" in line]


def test_where_the_signs_cannot_be_written_there_are_plain_ones():
    lines = Lines(coloured=False, encoding="ascii")
    shown = lines.of(Check("G", "a", wrong("Größe", "Label … fehlt")))
    assert shown == ["G", "  XX a               Gr??e", "                    -> Label ? fehlt"]
