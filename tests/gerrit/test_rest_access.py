"""Queries over REST when all is not well: no event may be lost, and nobody is hammered (gerrit-wire.md 9)."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

import pytest
from rest_double import PASSWORD, PROJECT, Fault, RestDouble

from ci_gate.gerrit import rest, rest_access
from ci_gate.gerrit.access import open_access
from ci_gate.gerrit.query import QueryFailedError
from ci_gate.gerrit.requirements import PublicRequirements
from ci_gate.gerrit.rest_access import RestAccess
from ci_gate.gerrit.ssh_access import SshAccess


@pytest.fixture
async def access(double):
    made = RestAccess(double.settings())
    yield made
    await made.close()


def test_a_password_and_nothing_else_leads_to_rest():
    double = RestDouble()
    assert isinstance(open_access(double.settings()), RestAccess)
    assert isinstance(open_access(double.settings(password=None)), SshAccess)


async def test_one_request_asks_for_the_change_with_its_requirements(double, access):
    found = await access.query_change("1", readiness=True)
    assert (found.number, found.project, found.records_decide) == ("1", PROJECT, False)
    assert {each.name for each in found.submit_requirements} >= {"Verified", "Workflow", "Code-Review"}
    await access.query_change("1", readiness=True)
    assert sum("config/server/version" in each for each in double.asked) == 1
    assert sum("/changes/?q=" in each for each in double.asked) == 2


async def test_an_unknown_change_is_none(access):
    assert await access.query_change("4711") is None


async def test_an_old_server_is_not_asked_for_what_it_does_not_know(double, access):
    double.version = "3.4.2"
    found = await access.query_change("1", readiness=True)
    assert (found.records_decide, found.submit_requirements) == (True, None)


async def test_a_server_of_unknown_age_that_knows_no_requirements_says_yes_or_not_yes(double, access):
    double.version = "3.4.2"
    double.faults = [Fault("version", 404)]
    found = await access.query_change("1", readiness=True)
    assert (found.records_decide, found.submit_requirements, found.is_submittable) == (False, None, False)


@pytest.mark.parametrize("status", [403, 404, 409, 412, 429, 500, 502, 503])
async def test_trouble_of_a_query_may_pass(double, access, status):
    double.faults = [Fault("/changes/", status, "<html>trouble</html>")]
    with pytest.raises(QueryFailedError, match="trouble") as failed:
        await access.query_change("1")
    assert failed.value.transient
    assert await access.query_change("1") is not None


async def test_a_query_that_gerrit_does_not_understand_is_given_up(double, access):
    double.faults = [Fault("/changes/", 400, "Unsupported operator nosuch:1")]
    with pytest.raises(QueryFailedError, match="Unsupported") as failed:
        await access.query_change("1")
    assert not failed.value.transient


@pytest.mark.parametrize("text", ["<html>Please sign in</html>", ")]}'\n{", ")]}'\n{}", ")]}'\n[{}]", ")]}'\n[1]"])
async def test_an_answer_that_is_not_gerrits_is_asked_for_again(double, access, text):
    double.faults = [Fault("/changes/", 200, text)]
    with pytest.raises(QueryFailedError) as failed:
        await access.query_change("1")
    assert failed.value.transient


async def test_a_record_without_sense_is_no_crash(double, access):
    double.change["revisions"] = {"c": {"_number": 1}}
    with pytest.raises(QueryFailedError, match="makes no sense"):
        await access.query_change("1")


async def test_a_cut_answer_is_asked_for_again_at_once(double, access):
    double.faults = [Fault("/changes/")]
    assert (await access.query_change("1")).number == "1"


async def test_a_stuck_answer_ends_at_its_deadline(double, access):
    double.faults = [Fault("version", 200, stall_s=30)]
    with pytest.raises(rest.OutcomeUnknownError, match="deadline"):
        await access.session.get("config/server/version", deadline_s=0.2)


async def test_a_gerrit_that_is_away_is_a_failure_that_may_pass(double, access):
    await access.query_change("1")
    await double.stop()
    with pytest.raises(QueryFailedError, match="cannot reach Gerrit") as failed:
        await access.query_change("1")
    assert failed.value.transient
    await double.start()
    assert await access.query_change("1") is not None


async def test_nothing_is_asked_before_gerrit_wants_it(double, access):
    double.faults = [Fault("/changes/", 429, "slow down", {"Retry-After": "120"})]
    for _ in range(3):
        with pytest.raises(QueryFailedError, match="slow down") as failed:
            await access.query_change("1")
        assert failed.value.transient
    assert len(double.asked) == 1


async def test_a_short_pause_is_waited_for(double, access):
    double.faults = [Fault("/changes/", 503, "restarting", {"Retry-After": "1"})]
    with pytest.raises(QueryFailedError):
        await access.query_change("1")
    began = time.monotonic()
    assert await access.query_change("1") is not None
    assert time.monotonic() > began + 0.5


async def test_a_password_that_is_refused_is_not_tried_again_and_never_shown(double):
    access = RestAccess(double.settings(password="wrong-one"))
    for _ in range(3):
        with pytest.raises(QueryFailedError, match="does not take the HTTP password of user ci-gate") as failed:
            await access.query_change("1")
        assert failed.value.transient
        assert "wrong-one" not in str(failed.value)
    assert len(double.asked) == 1
    await access.close()


async def test_a_refused_password_is_told_apart_from_other_pauses_as_long_as_they_last(double):
    session = rest.RestSession(double.settings(password="wrong-one"))
    for _ in range(2):
        with pytest.raises(rest.PasswordRefusedError):
            await session.get("config/server/version", deadline_s=5)
    assert len(double.asked) == 1
    await session.close()


async def test_answers_have_the_time_of_the_servers_clock(access):
    answer = await access.session.get("config/server/version", deadline_s=5)
    assert abs(parsedate_to_datetime(answer.date).timestamp() - time.time()) < 60


async def test_a_password_goes_nowhere_but_to_its_address(double, access):
    other = RestDouble()
    await other.start()
    double.faults = [Fault("/changes/", 302, headers={"Location": f"http://127.0.0.1:{other.port}/"})] * 2
    with pytest.raises(QueryFailedError, match="set baseurl to it"):
        await access.query_change("1")
    assert other.asked == []
    await other.stop()


def test_settings_and_sessions_do_not_print_the_password():
    assert PASSWORD not in repr(RestDouble().settings())


async def test_refs_of_a_project_that_is_not_there_are_not_asked_for_again(access):
    with pytest.raises(QueryFailedError) as failed:
        await access.list_refs("no/such")
    assert not failed.value.transient


# --- without a login ---


async def test_the_public_sees_requirements_in_one_request(double):
    public = PublicRequirements(double.settings())
    found = await public.of(["1", "2"])
    assert set(found) == {"1"}
    assert found["1"].requirements
    assert len(double.asked) == 1
    await public.close()


@pytest.mark.parametrize("fault", [Fault("/changes/", 200, "<html>"), Fault("/changes/", 404), None])
async def test_a_server_that_shows_the_public_nothing_is_left_alone_for_a_while(double, fault):
    double.public = fault is not None
    double.faults = [fault] if fault else []
    public = PublicRequirements(double.settings())
    assert await public.of(["1"]) == {}
    assert await public.of(["1"]) == {}
    assert len(double.asked) == 1
    await public.close()


async def test_what_a_deadline_covers_is_asking_not_waiting_for_a_turn(double, access, monkeypatch):
    monkeypatch.setattr(rest_access, "QUERY_S", 5.0)
    found = [await each for each in [access.query_change("1") for _ in range(10)]]
    assert [each.number for each in found] == ["1"] * 10
