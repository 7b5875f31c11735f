"""A site in a folder for the doctor to look at, and what it finds there."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import gear

from ci_gate.doctor.check import Finding, Mark
from ci_gate.doctor.examination import examine
from ci_gate.doctor.running import UnwaitedThreads
from ci_gate.sandbox.ports import free_port

HOST = "127.0.0.1"
LAYOUT = """pipelines:
  - name: check
    manager: IndependentPipelineManager
    trigger: {gerrit: [{event: patchset-created}]}
    success: {gerrit: {Verified: 1}}
    failure: {gerrit: {Verified: -1}}
projects:
  - {name: demo/app, check: [unit, noop]}
"""
GATING = LAYOUT.replace("Independent", "Dependent")
SUBMITTING = LAYOUT.replace("Verified: 1}", "Verified: 1, submit: true}")


class DoctorSite:
    """``values`` are more keys by section; None takes one out."""

    def __init__(self, folder: Path, layout: str = LAYOUT) -> None:
        self.folder = folder
        self.config = folder / "ci.conf"
        self.state = folder / "state"
        self.web_port = free_port()
        self.values: dict[str, dict[str, str]] = {
            "gerrit": {
                "server": HOST,
                "port": str(free_port()),
                "user": "ci",
                "baseurl": f"http://{HOST}:{free_port()}",
            },
            "zuul": {"layout_config": str(folder / "layout.yaml"), "state_dir": str(self.state)},
            "merger": {"git_dir": str(folder / "git"), "zuul_url": f"http://{HOST}:{self.web_port}/p"},
            "webapp": {"listen_address": HOST, "port": str(self.web_port)},
            "gearman": {"server": HOST, "port": str(free_port())},
        }
        self.write_layout(layout)

    def write_layout(self, text: str) -> None:
        (self.folder / "layout.yaml").write_text(text)

    def write(self) -> Path:
        text = "".join(
            f"[{section}]\n" + "".join(f"{key}={value}\n" for key, value in values.items())
            for section, values in self.values.items()
        )
        self.config.write_text(text)
        return self.config

    async def look(self, **values: Mapping[str, str]) -> dict[str, Finding]:
        """Findings by ``group/name``; ``values`` are more keys for sections of these names."""
        for section, more in values.items():
            self.values.setdefault(section, {}).update(more)
        asyncio.get_running_loop().set_default_executor(UnwaitedThreads())
        return {f"{each.group}/{each.name}": each.finding async for each in examine(self.write())}


def assert_good(finding: Finding, *words: str) -> None:
    assert (finding.mark, finding.fix) == (Mark.GOOD, ""), finding
    for each in words:
        assert each in finding.text


def assert_wrong(finding: Finding, *words: str) -> None:
    """``words`` are looked for in the text and the fix. Both are one line, and there is a fix."""
    assert finding.mark is Mark.WRONG, finding
    assert finding.fix
    assert "\n" not in finding.text + finding.fix
    for each in words:
        assert each in f"{finding.text} → {finding.fix}"


def worker(port: int, *functions: str) -> gear.Worker:
    """Blocks until it is connected. ``shutdown`` it."""
    made = gear.Worker("tester")
    made.addServer(HOST, port)
    made.waitForServer()
    for each in functions:
        made.registerFunction(each)
    return made
