"""Is Gerrit's web address right, what may the HTTP password do, and do the clocks agree?

Links in reports need the address; what was missed is looked for by Gerrit's time (gerrit-wire.md 10).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from ci_gate.doctor.check import Finding, Step, UnansweredError, good, not_tried, unknown, wrong
from ci_gate.doctor.gerrit import Gerrit
from ci_gate.doctor.web import PasswordError
from ci_gate.gerrit.rest_access import OPTIONS

APART_S = 30.0  # half of what the service allows for


def steps(gerrit: Gerrit) -> Iterator[Step]:
    yield Step(gerrit.group, "web address", partial(_address, gerrit))
    if gerrit.given.password is not None:
        name = "account" if gerrit.given.is_http_only else "HTTP password"
        yield Step(gerrit.group, name, partial(_login, gerrit), ("web address",))
    yield Step(gerrit.group, "clock", partial(_clock, gerrit), ("web address",))


async def _address(gerrit: Gerrit) -> Finding:
    try:
        await gerrit.web.version()
    except PasswordError:
        return good(f"{gerrit.given.baseurl}; it asks for a login")
    except UnansweredError as problem:
        fix = problem.fix or f"correct [{gerrit.section}] baseurl"
        if gerrit.given.password is None:
            return unknown(f"{problem}", f"{fix}, unless only people can reach it")
        return wrong(f"{problem}", f"{fix}; the service goes there with its password")
    return good(gerrit.given.baseurl)


async def _login(gerrit: Gerrit) -> Finding:
    """Who we are there, and the query that the service asks most."""
    user, section = gerrit.web.user, gerrit.section
    try:
        told = await gerrit.web.ask("accounts/self")
    except PasswordError as problem:
        fix = f"make a new one in Gerrit (Settings, HTTP Credentials), and set [{section}] password to it"
        return wrong(f"{problem}", f"{fix}; is {user} the account's user name?")
    except UnansweredError as problem:
        return wrong(f"{user} is not let in: {problem}", "is the account active, and is this Gerrit?")
    try:
        await gerrit.web.ask("changes/", [("q", "status:open"), ("n", 1), *(("o", each) for each in OPTIONS)])
    except UnansweredError as problem:
        return wrong(
            f"{user} is let in, and its queries are not answered: {problem}",
            "in Gerrit: All-Projects, Access, Global Capabilities: Query Limit for a group of the account",
        )
    name = told.get("username") if isinstance(told, dict) else None
    version = (await gerrit.web.version()).text
    return good(f"{user} is let in{f' as {name}' if name not in (None, user) else ''}; Gerrit {version}")


async def _clock(gerrit: Gerrit) -> Finding:
    try:
        ahead = (await gerrit.web.version()).ahead_s
    except PasswordError:
        return not_tried("not tried: Gerrit tells it to those who are let in")
    except UnansweredError:
        return unknown("Gerrit's clock is to be seen at its web address only")
    if ahead is None:
        return unknown("Gerrit's web address does not tell the time")
    if abs(ahead) > APART_S:
        where = "ahead of" if ahead > 0 else "behind"
        return wrong(
            f"Gerrit's clock is {abs(ahead):.0f} s {where} this machine's",
            "let both keep time by NTP: timedatectl set-ntp true",
        )
    return good(f"within {max(1.0, abs(ahead)):.0f} s of Gerrit's")
