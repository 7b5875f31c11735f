"""An update of a ref that an operator puts in is shown to people like one that Gerrit told of (gerrit-wire.md 8)."""

from __future__ import annotations

from ci_gate.config.settings import GerritSettings
from ci_gate.daemon.requests import commit_urls, handlers
from ci_gate.model.layout import Layout, Pipeline
from ci_gate.model.operations import CommandAnswer
from ci_gate.scheduler.explain import Decisions

DONE = CommandAnswer(done=True, lines=())
NEW = "2" * 40
ASKED = {
    "trigger": "review",
    "pipeline": "post",
    "project": "acme/lib",
    "ref": "master",
    "oldrev": "1" * 40,
    "newrev": NEW,
}


class Desk:
    """Keeps the commands of the inputs that are handed in."""

    def __init__(self) -> None:
        self.commands = []

    async def carry_out(self, make) -> CommandAnswer:
        self.commands.append(make(1.0, 1).command)
        return DONE


async def url_of(**changed: str) -> str | None:
    desk = Desk()
    gerrit = GerritSettings("review", "review.acme.test", "ci", baseurl="https://review.acme.test")
    layout = Layout(pipelines=(Pipeline("post", "IndependentPipelineManager", source="review"),))
    known = handlers(desk, lambda: None, Decisions(), commit_urls([gerrit], lambda: layout))
    assert await known["enqueue-ref"](ASKED | changed) == DONE
    (command,) = desk.commands
    return command.url


async def test_it_has_the_link_that_gerrits_event_would_have_given_it():
    assert await url_of() == f"https://review.acme.test/gitweb?p=acme/lib.git;a=commitdiff;h={NEW}"


async def test_what_is_in_no_pipeline_has_no_link():
    assert await url_of(pipeline="gone") is None
