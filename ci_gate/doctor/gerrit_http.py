"""A Gerrit that is reached over HTTP alone: the HTTP password is all there is to get in."""

from __future__ import annotations

from dataclasses import replace

from ci_gate.config.settings import GerritSettings
from ci_gate.doctor.check import UnansweredError
from ci_gate.doctor.gerrit import Gerrit
from ci_gate.doctor.site import Site
from ci_gate.merger.git import Git
from ci_gate.merger.http import http_settings


class HttpGerrit(Gerrit):
    """``close`` it in the end. The account is looked at in ``web_address``."""

    def __init__(self, site: Site, settings: GerritSettings) -> None:
        super().__init__(site, settings)
        self.user = self.web.user

    async def _version(self) -> str:
        return (await self.web.version()).text

    async def _visible(self) -> list[str]:
        """Page by page where Gerrit gives its list in pages."""
        found: dict[str, None] = {}
        while True:
            listed = await self.web.ask("projects/", [("S", len(found))] if found else ())
            if not isinstance(listed, dict):
                raise UnansweredError("an answer that is not a list of projects")
            known = len(found)
            found.update(dict.fromkeys(listed))
            last = list(listed.values())[-1:]
            if len(found) == known or not (isinstance(last[0], dict) and last[0].get("_more_projects")):
                return list(found)

    def _git(self, git: Git) -> Git:
        return replace(git, config=http_settings(self.given))
