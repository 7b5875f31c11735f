"""The service's settings as values, every default filled in (``spec/ci-conf.md``, ``additions.md``).

``read_settings.py`` makes them from a file; adapters take the part that is theirs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from ci_gate.job_servers import TlsFiles
from ci_gate.model.options import SchedulerSettings as SchedulerSettings  # noqa: PLC0414 - part of Settings

SSH, WEBHOOKS = "ssh", "webhooks"


@dataclass(frozen=True, slots=True)
class GerritSettings:
    """One Gerrit connection. Times are seconds; ``host_key_check`` is yes, accept-new or no.

    ``stream`` says how events come: SSH or WEBHOOKS.
    """

    name: str
    server: str
    user: str
    port: int = 29418
    sshkey: Path | None = None
    baseurl: str = ""
    keepalive_s: int = 60
    strip_branch_ref: bool = False
    password: str | None = field(default=None, repr=False)
    http_user: str | None = None
    known_hosts: Path | None = None
    accepted_hosts: Path | None = None  # state_dir/known_hosts: keys accepted for the first time
    host_key_check: str = "accept-new"
    event_delay_s: float = 10.0
    stream_timeout_s: float = 180.0
    max_ssh_channels: int = 4
    reconcile_interval_s: float = 300.0
    commands_per_minute: int = 600
    stream: str = SSH
    webhook_secret: str | None = field(default=None, repr=False)
    status_url: str = ""  # of this service, for people who want to see all of a report

    @property
    def is_http_only(self) -> bool:
        """Does nothing of it need SSH?"""
        return self.password is not None and self.stream == WEBHOOKS

    def project_url(self, project: str) -> str:
        """Where to clone and fetch a project from."""
        if self.is_http_only:
            return f"{self.baseurl}/a/{quote(project)}"
        return f"ssh://{self.user}@{self.server}:{self.port}/{project}"

    def commit_url(self, project: str, revision: str) -> str:
        """What people are shown of a ref's update: exactly this, for it always was (gerrit-wire.md 8)."""
        return f"{self.baseurl}/gitweb?p={project}.git;a=commitdiff;h={revision}"


@dataclass(frozen=True, slots=True)
class SmtpSettings:
    name: str
    server: str = "localhost"
    port: int = 25
    default_from: str = "zuul"
    default_to: str = "zuul"


@dataclass(frozen=True, slots=True)
class SqlSettings:
    name: str
    dburi: str = field(repr=False)


Connection = GerritSettings | SmtpSettings | SqlSettings
DRIVER_OF: Mapping[type, str] = {GerritSettings: "gerrit", SmtpSettings: "smtp", SqlSettings: "sql"}


@dataclass(frozen=True, slots=True)
class GearmanSettings:
    """Where builds go. ``others`` are further servers, host and port, for when the first one is down."""

    server: str = "127.0.0.1"
    port: int = 4730
    check_job_registration: bool = True
    admin_functions: bool = True
    others: tuple[tuple[str, int], ...] = ()
    tls: TlsFiles | None = None

    @property
    def servers(self) -> tuple[tuple[str, int], ...]:
        return ((self.server, self.port), *self.others)


@dataclass(frozen=True, slots=True)
class GearmanServerSettings:
    """The built-in job server; it listens on ``[gearman] port``. Empty address: all addresses."""

    start: bool = False
    listen_address: str = ""
    log_config: Path | None = None
    tls: TlsFiles | None = None


@dataclass(frozen=True, slots=True)
class HookSettings:
    """Where news of builds are taken from Jenkins, by whoever has the token."""

    port: int
    token_file: Path
    address: str = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class JenkinsSettings:
    """A Jenkins without the Gearman plugin. ``jobs``: which of its jobs are offered, by the layout's name; None: all.

    ``job_path`` leads from that name to the job, alternatives with ``|`` between them. ``max_queued`` None: twice the
    executors. ``label_limits``: most builds at a time that ask for a label.
    """

    POLL_S: ClassVar[float] = 2.0

    name: str
    url: str
    user: str | None = None
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    ca_file: Path | None = None
    poll_interval_s: float = POLL_S
    jobs: re.Pattern[str] | None = None
    job_path: str = "{job}"
    node_param: str | None = None
    max_queued: int | None = None
    label_limits: Mapping[str, int] = field(default_factory=dict)
    offline_nodes: bool = False
    hook: HookSettings | None = None


@dataclass(frozen=True, slots=True)
class BridgeSettings:
    """What ``ci-gate jenkins`` reads."""

    gearman: GearmanSettings
    jenkins: tuple[JenkinsSettings, ...]
    log_config: Path | None = None


@dataclass(frozen=True, slots=True)
class WebSettings:
    """``prefix`` is the path below which a front end mounts everything."""

    listen_address: str = "0.0.0.0"  # noqa: S104 - the inherited default: remote workers fetch refs here
    port: int = 8001
    status_expiry_s: int = 1
    token_file: Path | None = None
    prefix: str = "/"


@dataclass(frozen=True, slots=True)
class MergerSettings:
    """``embedded`` False: only remote mergers. ``zuul_url`` goes into builds unchanged as ``ZUUL_URL``."""

    git_dir: Path = Path("/var/lib/zuul/git")
    git_user_email: str | None = None
    git_user_name: str | None = None
    zuul_url: str | None = None
    embedded: bool = True
    ref_retention_s: float = 14 * 86400.0
    log_config: Path | None = None


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """None: a SQLite file in ``state_dir``."""

    dburi: str | None = field(default=None, repr=False)
    retention_days: int = 14
    retention_size_mb: int = 2048
    history_days: int = 365


@dataclass(frozen=True, slots=True)
class ShadowSettings:
    """Whose results a shadow takes. ``account`` None: the live system comments as the ``user`` of each connection."""

    account: str | None = None
    patience_s: float = 12 * 3600.0


@dataclass(frozen=True, slots=True)
class Settings:
    """A whole configuration file. ``connections`` by name."""

    path: Path
    layout_config: Path
    state_dir: Path = Path("/var/lib/zuul")
    log_config: Path | None = None
    pidfile: Path = Path("/var/run/zuul/zuul.pid")
    connections: Mapping[str, Connection] = field(default_factory=dict)
    gearman: GearmanSettings = field(default_factory=GearmanSettings)
    gearman_server: GearmanServerSettings = field(default_factory=GearmanServerSettings)
    jenkins: tuple[JenkinsSettings, ...] = ()
    web: WebSettings = field(default_factory=WebSettings)
    merger: MergerSettings = field(default_factory=MergerSettings)
    scheduler: SchedulerSettings = field(default_factory=SchedulerSettings)
    database: DatabaseSettings = field(default_factory=DatabaseSettings)
    shadow: ShadowSettings = field(default_factory=ShadowSettings)
    swift: Mapping[str, str] | None = field(default=None, repr=False)

    @property
    def gerrits(self) -> tuple[GerritSettings, ...]:
        return tuple(each for each in self.connections.values() if isinstance(each, GerritSettings))

    @property
    def drivers(self) -> dict[str, str]:
        """Each connection's driver, as layouts ask for it."""
        return {name: DRIVER_OF[type(each)] for name, each in self.connections.items()}
