"""A real Gerrit as an operator sets it up for a CI, and what developers do there: over REST and by git push."""

from __future__ import annotations

import os
import subprocess
import urllib.error
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import paramiko
from gerrit_server import HOST, GerritServer

CI = "ci"
DEV = ("dev", "dev-secret")
CORE = ("core", "core-secret")
PROJECTS = ("demo/alpha", "demo/beta")
ALL = "projects/All-Projects"
VERIFIED = {"-2": "Fails", "-1": "Does not seem to work", " 0": "No score", "+1": "Works for me", "+2": "Verified"}
WORKFLOW = {"-1": "Work in progress", " 0": "Ready for reviews", "+1": "Approved"}
RIGHTS = (
    ("label-Verified", "CI", -2, 2),
    ("label-Code-Review", "Core", -2, 2),
    ("label-Workflow", "Core", -1, 1),
    ("submit", "CI", None, None),
    ("abandon", "Core", None, None),
    ("push", "Core", None, None),
)


class Review:
    """One Gerrit with labels, accounts and projects. ``keys`` has the CI account's private key."""

    def __init__(self, server: GerritServer, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.key = folder / CI
        self._clones = 0
        self._cores: set[Path] = set()

    def set_up(self) -> None:
        """What an operator does once, by the means that Gerrit gives."""
        rest = self.server.rest
        groups = {name: rest("PUT", f"groups/{name}", {})["id"] for name in ("CI", "Core")}
        for label, values in (("Verified", VERIFIED), ("Workflow", WORKFLOW)):
            rest("PUT", f"{ALL}/labels/{label}", {"values": values, "function": "NoBlock"})
            expression = f"label:{label}=MAX AND -label:{label}=MIN"
            rest("PUT", f"{ALL}/submit_requirements/{label}", {"name": label, "submittability_expression": expression})
        permissions: dict[str, dict] = {}
        for name, group, lowest, highest in RIGHTS:
            rule = {"action": "ALLOW"} | ({} if lowest is None else {"min": lowest, "max": highest})
            permissions[name] = {"rules": {groups[group]: rule}}
            if lowest is not None:
                permissions[name]["label"] = name.removeprefix("label-")
        rest("POST", f"{ALL}/access", {"add": {"refs/heads/*": {"permissions": permissions}}})
        key = paramiko.ECDSAKey.generate()
        key.write_private_key_file(str(self.key))
        self._account(CI, "Demo CI", ["CI", "Service Users"], f"{key.get_name()} {key.get_base64()}")
        self._account(DEV[0], "Developer", [])
        self._account(CORE[0], "Core Reviewer", ["Core"])
        for project in PROJECTS:
            rest("PUT", f"projects/{quote(project, safe='')}", {"create_empty_commit": True, "branches": ["master"]})

    def _account(self, name: str, full_name: str, groups: list[str], key: str | None = None) -> None:
        account = {"name": full_name, "email": f"{name}@example.org", "http_password": f"{name}-secret"}
        account |= {"groups": groups} | ({"ssh_key": key} if key else {})
        self.server.rest("PUT", f"accounts/{name}", account)

    # --- what developers do ---

    def upload(
        self,
        project: str,
        files: Mapping[str, str],
        message: str = "Change something",
        *,
        options: str = "",
        amend: int | None = None,
    ) -> int:
        """Push a new change, or (``amend``) a new patch set of one; the change's number."""
        clone = self._clone(project)
        if amend is not None:
            ref = self.details(amend, "CURRENT_REVISION")["revisions"]
            self._git(clone, "fetch", "-q", "origin", next(iter(ref.values()))["ref"])
            self._git(clone, "checkout", "-q", "FETCH_HEAD")
        for name, text in files.items():
            (clone / name).write_text(text)
        self._git(clone, "add", "-A")
        if amend is None:
            change_id = "I" + os.urandom(20).hex()
            self._git(clone, "commit", "-q", "-m", f"{message}\n\nChange-Id: {change_id}")
        else:
            change_id = self.details(amend)["change_id"]
            self._git(clone, "commit", "-q", "--amend", "--no-edit")
        self._git(clone, "push", "-q", "origin", f"HEAD:refs/for/master{options}")
        return amend or self.number_of(project, change_id)

    def push(self, project: str, files: Mapping[str, str], *, branch: str = "master") -> str:
        """Straight into a branch, as somebody who may; the new tip."""
        clone = self._clone(project, CORE)
        for name, text in files.items():
            (clone / name).write_text(text)
        self._git(clone, "add", "-A")
        self._git(clone, "commit", "-q", "-m", "Pushed without review")
        self._git(clone, "push", "-q", "origin", f"HEAD:refs/heads/{branch}")
        return self._git(clone, "rev-parse", "HEAD").strip()

    def number_of(self, project: str, change_id: str) -> int:
        found = self.server.rest("GET", f"changes/{quote(project, safe='')}~master~{change_id}", by=DEV)
        return found["_number"]

    def edit(self, number: int, name: str, text: str) -> None:
        """A new patch set, by the editor of the web page."""
        self.server.rest("PUT", f"changes/{number}/edit/{name}", text.encode(), by=DEV)
        self.server.rest("POST", f"changes/{number}/edit:publish", {}, by=DEV)

    def comment(self, number: int, message: str = "", *, by=DEV, votes: Mapping[str, int] | None = None) -> None:
        body = {"message": message, "labels": dict(votes or {})}
        self.server.rest("POST", f"changes/{number}/revisions/current/review", body, by=by)

    def comment_by_page(self, number: int, text: str) -> None:
        """As Gerrit's own page does: on the patch set as a whole."""
        body = {"comments": {"/PATCHSET_LEVEL": [{"message": text}]}}
        self.server.rest("POST", f"changes/{number}/revisions/current/review", body, by=DEV)

    def approve(self, number: int, *, code_review: bool = True) -> None:
        self.comment(number, by=CORE, votes={"Workflow": 1} | ({"Code-Review": 2} if code_review else {}))

    def act(self, number: int, action: str, *, by=DEV) -> None:
        """``abandon``, ``restore``, ``ready``, ``wip``, ``private``."""
        self.server.rest("POST", f"changes/{number}/{action}", {}, by=by)

    # --- what it holds ---

    def details(self, number: int, *options: str) -> dict:
        wanted = "&".join(f"o={each}" for each in options)
        return self.server.rest("GET", f"changes/{number}?{wanted}")

    def status(self, number: int) -> str:
        return self.details(number)["status"]

    def vote(self, number: int, label: str = "Verified", *, by: str = CI) -> int:
        """0 if there is none, or no such change to be seen."""
        try:
            found = self.details(number, "DETAILED_LABELS", "DETAILED_ACCOUNTS")["labels"].get(label, {})
        except urllib.error.HTTPError:
            return 0
        return next((each.get("value", 0) for each in found.get("all", ()) if each.get("username") == by), 0)

    def ours(self, number: int) -> list[str]:
        """The CI's messages, without Gerrit's own first line."""
        found = self.server.rest("GET", f"changes/{number}/detail?o=MESSAGES&o=DETAILED_ACCOUNTS")["messages"]
        return [each["message"].split("\n\n", 1)[-1] for each in found if each["author"].get("username") == CI]

    def head(self, project: str, branch: str = "master") -> str:
        return self.server.rest("GET", f"projects/{quote(project, safe='')}/branches/{branch}")["revision"]

    def change_id(self, number: int) -> str:
        return self.details(number)["change_id"]

    # --- git ---

    def _clone(self, project: str, by: tuple[str, str] = DEV) -> Path:
        self._clones += 1
        clone = self.folder / f"clone-{self._clones}"
        if by == CORE:
            self._cores.add(clone)
        url = f"http://{by[0]}:{by[1]}@{HOST}:{self.server.http}/a/{project}"
        self._git(self.folder, "clone", "-q", url, str(clone))
        return clone

    def _git(self, folder: Path, *arguments: str) -> str:
        address = f"{CORE[0] if folder in self._cores else DEV[0]}@example.org"
        who = {f"GIT_{role}_NAME": "Somebody" for role in ("AUTHOR", "COMMITTER")}
        who |= {f"GIT_{role}_EMAIL": address for role in ("AUTHOR", "COMMITTER")}
        clean = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0"}
        done = subprocess.run(
            ["git", *arguments], cwd=folder, env=os.environ | clean | who, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr}"
        return done.stdout
