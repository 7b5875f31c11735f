"""A reload that is refused leaves everything that the layout in force does as it was."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from ci_gate.config.layout import load_layout
from ci_gate.config.read_settings import read_settings
from ci_gate.daemon.commands import CommandDesk
from ci_gate.daemon.functions import FunctionOracle
from ci_gate.daemon.inbox import Inbox
from ci_gate.daemon.operations import Observer
from ci_gate.daemon.records import decode_input, encode_input
from ci_gate.daemon.reload import Reloader
from ci_gate.daemon.waits import Waits
from ci_gate.model.commands import EnqueueRef
from ci_gate.model.options import SchedulerSettings
from ci_gate.scheduler.effects import AnswerCommand, UpdateRepository
from ci_gate.scheduler.inputs import Commanded, TimeCame
from ci_gate.scheduler.scheduler import Scheduler

CONFIG = """
[zuul]
layout_config = {folder}/layout.yaml
state_dir = {folder}
[gearman]
server = 127.0.0.1
[merger]
zuul_url = http://ci.example.org/p
[connection gerrit]
driver = gerrit
server = review.example.org
user = ci
"""
LAYOUT = """
pipelines:
  - name: nightly
    manager: IndependentPipelineManager
    trigger: {timer: [{time: 0 2 * * *}]}
  - name: post
    manager: IndependentPipelineManager
    trigger: {gerrit: [{event: ref-updated}]}
projects:
  - {name: demo/one, nightly: [soak], post: [publish]}
"""
NOT_YAML = LAYOUT.replace("    trigger: {timer:", "   trigger: {timer:")


@pytest.fixture
def site(tmp_path):
    """A service as far as reloading goes: a scheduler at work, its files, and who reads them again."""
    (tmp_path / "layout.yaml").write_text(LAYOUT)
    (tmp_path / "ci.conf").write_text(CONFIG.format(folder=tmp_path))
    settings, _ = read_settings(tmp_path / "ci.conf")
    loaded = load_layout(settings.layout_config, connections=settings.drivers)
    oracle = FunctionOracle(loaded.functions)
    scheduler = Scheduler(loaded.layout, options=settings.scheduler, oracle=oracle, seed=b"sixteen bytes !!", at=0.0)
    inbox = Inbox()
    observer = Observer(scheduler, Waits(), started_at=0.0)
    desk = CommandDesk(inbox)
    reloader = Reloader(settings, loaded, None, desk, observer)
    return SimpleNamespace(
        folder=tmp_path, scheduler=scheduler, reloader=reloader, inbox=inbox, desk=desk, observer=observer
    )


async def test_w74_reload_with_a_file_that_is_not_yaml(site):
    (site.folder / "layout.yaml").write_text(NOT_YAML)
    answer = await site.reloader.reload()
    assert not answer.done
    assert answer.lines[0].startswith(f"{site.folder}/layout.yaml:5:")
    assert answer.lines[-1] == "nothing was changed: the layout before is in force"
    assert answer.lines[0] in str(site.reloader.refusal)
    assert [each.text for each in site.observer.operations().troubles] == [answer.lines[0]]
    assert not site.inbox.waiting_events

    (update,) = site.scheduler.handle(TimeCame(1.0, "0 2 * * *"))
    assert isinstance(update, UpdateRepository)
    command = EnqueueRef("gerrit", "post", "demo/one", "master", "1" * 40, "2" * 40)
    answered = site.scheduler.handle(Commanded(2.0, 1, command))
    (enqueued,) = [each.answer for each in answered if isinstance(each, AnswerCommand)]
    assert enqueued.done


async def test_what_decides_or_shapes_reports_is_read_again_with_the_layout(site):
    config = site.folder / "ci.conf"
    config.write_text(config.read_text().replace("[zuul]", "[zuul]\nstatus_url = http://new/\nshadow = true"))
    reloading = asyncio.create_task(site.reloader.reload())
    message = await site.inbox.take()
    assert message.options == SchedulerSettings(status_url="http://new/"), "a service does not turn into a shadow"
    layouts = {"it": message.layout}
    kept = encode_input(message, lambda _layout: "it")
    assert decode_input("LayoutReplaced", kept, layouts.__getitem__, message.oracle) == message
    (answer,) = site.scheduler.handle(message)
    site.desk.answer(answer)
    assert (await reloading).done
