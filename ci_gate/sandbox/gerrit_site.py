"""The state of the simulated Gerrit: accounts, projects, changes, and the one way to alter them.

Uploads, reviews and submits hold `site.lock` over each of their steps and alter state only through the methods
here, so that what queries, references and events tell is always one story: first the reference, then the index,
then the event. Knows nothing of SSH and command lines.
"""

import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ci_gate.sandbox.gerrit_faults import Faults
from ci_gate.sandbox.gerrit_git import GitError, Repository
from ci_gate.sandbox.gerrit_json import Json, Shapes
from ci_gate.sandbox.gerrit_stream import EventStream
from ci_gate.sandbox.gerrit_values import ZERO, Account, Change, Identity, RefusedError, SiteSettings


class Site:
    """One Gerrit site; its repositories lie in `folder`."""

    def __init__(self, folder: Path, settings: SiteSettings, faults: Faults) -> None:
        self.folder = folder
        self.settings = settings
        self.shapes = Shapes(settings)
        self.stream = EventStream()
        self.lock = threading.RLock()
        self.altered = threading.Condition(self.lock)
        self._faults = faults
        self._accounts: dict[str, Account] = {}
        self._repositories: dict[str, Repository] = {}
        self._changes: dict[int, Change] = {}
        self._indexed: dict[int, list[tuple[float, Change]]] = {}
        self._last_number = 0

    # -- looking things up -----------------------------------------------------------------------

    def account(self, username: str) -> Account | None:
        """The account of that name, if there is one."""
        return self._accounts.get(username)

    def repository(self, project: str) -> Repository:
        """The repository of that project; `RefusedError` if there is none."""
        if project not in self._repositories:
            raise RefusedError(f"project '{project}' not found")
        return self._repositories[project]

    @property
    def projects(self) -> list[str]:
        """All projects by name."""
        with self.lock:
            return sorted(self._repositories)

    def change(self, number: int) -> Change | None:
        """A change as it is now."""
        return self._changes.get(number)

    @property
    def changes(self) -> list[Change]:
        """All changes as they are now."""
        with self.lock:
            return list(self._changes.values())

    def indexed_changes(self) -> list[Change]:
        """All changes as queries see them, which is later than it happened while `faults.query_lag` is on."""
        now = time.monotonic()
        with self.lock:
            histories = [[change for since, change in history if since <= now] for history in self._indexed.values()]
        return [history[-1] for history in histories if history]

    def identify(self, who: Identity) -> Identity:
        """An author, with the username of the account that has that e-mail address."""
        with self.lock:
            known = [account.identity for account in self._accounts.values() if account.identity.email == who.email]
        return known[0] if known else who

    # -- altering them; a step of several holds the lock around all -------------------------------

    def add_account(self, account: Account) -> None:
        """Let somebody in."""
        with self.lock:
            self._accounts[account.username] = account

    def add_project(self, project: str, files: Mapping[str, str], head: str, by: Identity) -> Repository:
        """Make a project with one commit on the branch `head`."""
        with self.lock:
            if project in self._repositories:
                raise RefusedError(f"Project already exists: {project}")
            repository = Repository.create(self.folder / f"{project}.git", head)
            self._repositories[project] = repository
            self.publish(self.shapes.project_created(project, f"refs/heads/{head}"))
            self.update_ref(
                project, f"refs/heads/{head}", repository.commit(None, "Initial empty repository\n", by, files), by
            )
            return repository

    def update_ref(self, project: str, ref: str, revision: str, by: Identity) -> None:
        """Create, move or (ZERO) delete a branch or tag, and tell."""
        with self.lock:
            repository = self.repository(project)
            old = repository.head(ref)
            if old == revision:
                return
            try:
                repository.update_ref(ref, revision)
            except GitError as error:
                raise RefusedError(str(error)) from error
            self.publish(self.shapes.ref_updated(project, ref, old, revision, by))

    def next_number(self) -> int:
        """A number for a new change."""
        with self.lock:
            self._last_number += 1
            return self._last_number

    def add_patch_set_ref(self, change: Change, by: Identity) -> None:
        """Show the current patch set's commit to fetchers, and tell."""
        patch_set = change.current
        with self.lock:
            self.repository(change.project).write_change_ref(patch_set.ref, patch_set.revision)
            self.publish(self.shapes.ref_updated(change.project, patch_set.ref, ZERO, patch_set.revision, by))

    def save(self, change: Change, by: Identity, **altered: Any) -> Change:
        """Make `change`, with the fields in `altered` replaced, the change's state, and return it.

        It goes to its meta reference, of which an event tells, and to queries. The event that says what happened to
        the change is the caller's to send.
        """
        change = replace(change, last_updated=int(time.time()), **altered)
        meta = f"{change.ref_prefix}/meta"
        text = change.messages[-1].text if change.messages else "Update change"
        with self.lock:
            old, new = self.repository(change.project).append_note(meta, text, by)
            self._changes[change.number] = change
            self._index(change)
            self.publish(self.shapes.ref_updated(change.project, meta, old, new, by))
        return change

    def publish(self, event: Json) -> None:
        """Tell all listeners, and wake those who wait for something to happen."""
        with self.lock:
            self.stream.publish(event)
            self.altered.notify_all()

    def _index(self, change: Change) -> None:
        now = time.monotonic()
        history = self._indexed.setdefault(change.number, [])
        while len(history) > 1 and history[1][0] <= now:
            history.pop(0)
        history.append((now + self._faults.query_lag, change))
