"""Do events come by posts of Gerrit's webhooks plugin (``stream = webhooks``)? Nothing is posted to find out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import quote

from ci_gate.config.settings import WEBHOOKS
from ci_gate.doctor.check import Finding, Step, good, unknown, wrong
from ci_gate.doctor.gerrit import Gerrit
from ci_gate.doctor.serving import TROUBLE, Service, words
from ci_gate.gerrit.webhooks import NONE_YET


def steps(gerrit: Gerrit, service: Service) -> Iterator[Step]:
    if gerrit.given.stream == WEBHOOKS:
        yield Step(gerrit.group, "events", lambda: _posts(gerrit, service))


async def _posts(gerrit: Gerrit, service: Service) -> Finding:
    path = f"hooks/gerrit/{quote(gerrit.given.name, safe='')}"
    public = gerrit.given.status_url.rstrip("/") or "https://OUR-HOST"
    fix = (
        "in Gerrit, webhooks.config in refs/meta/config of All-Projects needs:"
        f' [remote "ci-gate"] url = {public}/{path}?token=…, with [{gerrit.section}] webhook_secret as the token'
    )
    if not await service.runs():
        return unknown(f"posts are taken at /{path} by the service, which does not run", fix)
    address = f"{service.address}{path}"
    try:
        status, said = await service.get(path)
        if status != 405:
            return wrong(
                f"{address} takes no posts (status {status}): {said.decode(errors='replace').strip()}",
                "restart the service, if the configuration has changed since its start; see its log",
            )
        document = json.loads((await service.get("status.json"))[1])
        known = {each["name"]: each for each in document["ci_gate"]["connections"] if each["kind"] == "Gerrit stream"}
        detail = known[gerrit.given.name]["detail"]
    except (*TROUBLE, KeyError, TypeError) as problem:
        return wrong(f"{address} cannot be looked at: {words(problem)}", "see the service's log, and restart it")
    if detail == NONE_YET:
        return unknown(f"{address} is served; {detail}", fix)
    return good(f"{address} is served, and posts of Gerrit's webhooks plugin come")
