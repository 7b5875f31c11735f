"""Every section and key of ci.conf in one table: what is known, of which kind, what it is for.

The reader checks files against it, and ``docs/ci-conf.md`` is checked against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Key:
    """One key. ``kind`` is text, path, integer, boolean, duration or choice; ``default`` is text for people.

    ``least`` and ``most`` bound integers; ``choices`` are the words of a choice; ``moved`` is where an old key went.
    """

    kind: str
    default: str
    help: str
    secret: bool = False
    least: int = 0
    most: int = 2**31 - 1
    choices: tuple[str, ...] = ()
    moved: str = ""


ZUUL = {
    "layout_config": Key("path", "required", "the layout file"),
    "log_config": Key("path", "none", "logging configuration, in the format of Python's logging.config.fileConfig"),
    "pidfile": Key("path", "/var/run/zuul/zuul.pid", "accepted; the service stays in the foreground and writes none"),
    "state_dir": Key("path", "/var/lib/zuul", "what the service keeps: run times, accepted host keys"),
    "report_times": Key("boolean", "true", "job lines of reports say how long the job took"),
    "status_url": Key("text", "none", "second line of start reports"),
    "status_expiry": Key("integer", "1", "seconds for which a rendered status document is used again"),
    "url_pattern": Key("text", "none", "link of a finished build: a format string of change, pipeline, job and build"),
    "job_name_in_report": Key("boolean", "false", "job lines of reports begin with the job's name"),
    "git_dir": Key("path", "", "as [merger] git_dir", moved="git_dir"),
    "git_user_email": Key("text", "", "as [merger] git_user_email", moved="git_user_email"),
    "git_user_name": Key("text", "", "as [merger] git_user_name", moved="git_user_name"),
    "zuul_url": Key("text", "", "as [merger] zuul_url", moved="zuul_url"),
    "push_change_refs": Key("boolean", "false", "accepted; refs are served over HTTP and not pushed to Gerrit"),
    "noop_joins_queues": Key("boolean", "false", "the noop job joins projects into one shared queue, as in Zuul 2.6"),
    "reject_requires_votes": Key("boolean", "false", "reject also refuses changes without any vote, as in Zuul 2.6"),
    "report_without_jobs": Key("boolean", "false", "an item without jobs is reported as a success, as in Zuul 2.0"),
    "depends_on_urls": Key("boolean", "false", "Depends-On footers may be URLs of Gerrit changes"),
    "report_cycles": Key("boolean", "false", "tell changes that they form a dependency cycle"),
    "replication_timeout": Key("integer", "300", "seconds for which a submitted change is looked for in its branch"),
    "replication_retry_interval": Key("integer", "5", "seconds between two such looks", least=1),
    "shadow": Key("boolean", "false", "decide, never act: beside a live system, as serve --shadow does"),
    "shadow_account": Key("text", "user of the connection", "Gerrit account that the live system comments as"),
    "shadow_patience": Key("duration", "12h", "how long a shadow waits for the live system's report on a change"),
}

MERGER = {
    "git_dir": Key("path", "/var/lib/zuul/git", "root of the repositories in which changes are merged"),
    "git_user_email": Key("text", "ci-gate's own", "author of merge commits: address"),
    "git_user_name": Key("text", "ci-gate's own", "author of merge commits: name"),
    "zuul_url": Key("text", "required", "where workers fetch merged refs, e.g. http://ci.example.org:8001/p"),
    "log_config": Key("path", "none", "logging configuration of a separate merger"),
    "pidfile": Key("path", "/var/run/zuul-merger/zuul-merger.pid", "accepted; no such file is written"),
    "embedded": Key("boolean", "true", "merge inside the service; false: only separate mergers"),
    "ref_retention": Key("duration", "14d", "how long merged refs are kept after their item has left"),
}

GEARMAN = {
    "server": Key("text", "required; 127.0.0.1 with [gearman_server] start", "Gearman server: HOST or HOST:PORT, …"),
    "port": Key("integer", "4730", "its port; the built-in server listens there", least=1, most=65535),
    "check_job_registration": Key("boolean", "true", "a job that no worker ever offered ends as NOT_REGISTERED"),
    "admin_functions": Key("boolean", "true", "offer zuul:enqueue and the like over Gearman"),
    "ssl_key": Key("path", "none: no encryption", "key of ssl_cert, without a passphrase"),
    "ssl_cert": Key("path", "none", "certificate that is shown to the server"),
    "ssl_ca": Key("path", "none", "authorities whose certificates the server may have"),
}

GEARMAN_SERVER = {
    "start": Key("boolean", "false", "run a Gearman server inside"),
    "listen_address": Key("text", "all addresses", "where it listens; it asks nobody for a password"),
    "log_config": Key("path", "none", "logging configuration of that server"),
    "ssl_key": Key("path", "none: no encryption", "key of ssl_cert, without a passphrase"),
    "ssl_cert": Key("path", "none", "certificate of that server"),
    "ssl_ca": Key("path", "none", "authorities whose certificates clients and workers have to show"),
}

JENKINS = {
    "url": Key("text", "required", "address of a Jenkins without the Gearman plugin"),
    "user": Key("text", "none", "account there, with an API token"),
    "token": Key("text", "none", "its token; better in a file", secret=True),
    "token_file": Key("path", "systemd's credential jenkins-NAME", "file with the token, read again when it expires"),
    "ca_file": Key("path", "those of certifi", "certificates that its TLS certificate is checked against"),
    "poll_interval": Key("duration", "2", "seconds between two looks at running builds; half of it while some wait"),
    "jobs": Key("text", "all", "regular expression that the layout's job names have to match"),
    "job_path": Key("text", "{job}", "where jobs are: ci/{job}; * is any folder, ** any depth, a bar means or"),
    "node_param": Key("text", "none", "parameter of the jobs that takes ZUUL_NODE"),
    "max_queued": Key("integer", "2 × executors", "builds that may wait in Jenkins' own queue", least=1),
    "label_limits": Key("text", "none", "most builds at a time by label, e.g. docker=4, arm=1"),
    "offline_nodes": Key("boolean", "false", "take nodes offline after builds with OFFLINE_NODE_WHEN_COMPLETE"),
    "hook_port": Key("integer", "none", "where Jenkins may post that a build starts or ends", least=1, most=65535),
    "hook_address": Key("text", "127.0.0.1", "address that hook_port listens on"),
    "hook_token_file": Key("path", "none", "file with the token that such a post has to bring"),
}

WEBAPP = {
    "listen_address": Key("text", "0.0.0.0", "where status page, status.json and merged refs are served"),  # noqa: S104 - documented default
    "port": Key("integer", "8001", "its port", least=1, most=65535),
}

WEB = {
    "token_file": Key("path", "none", "file with the tokens of the REST API"),
    "prefix": Key("text", "/", "path below which a front end mounts everything"),
}

DATABASE = {
    "dburi": Key("text", "a SQLite file in state_dir", "journal and history", secret=True),
    "retention_days": Key("integer", "14", "days for which the journal is kept", least=1),
    "retention_size_mb": Key("integer", "2048", "about how much the journal may hold; older steps go first", least=1),
    "history_days": Key("integer", "365", "days for which builds are kept", least=1),
}

GERRIT = {
    "driver": Key("choice", "required in [connection …]", "kind of connection", choices=("gerrit", "smtp", "sql")),
    "server": Key("text", "required", "host of Gerrit's SSH server"),
    "user": Key("text", "required", "account in Gerrit"),
    "port": Key("integer", "29418", "port of Gerrit's SSH server", least=1, most=65535),
    "sshkey": Key("path", "SSH agent and usual key files", "private key, without a passphrase"),
    "baseurl": Key("text", "https://SERVER", "Gerrit's web address"),
    "keepalive": Key("integer", "60", "seconds between SSH keepalives; 0 turns them off"),
    "strip_branch_ref": Key("boolean", "false", "take refs/heads/ off the names in ref-updated events"),
    "password": Key("text", "none", "HTTP password for Gerrit's REST API", secret=True),
    "http_user": Key("text", "user", "account of that password"),
    "known_hosts": Key("path", "the system's and the user's files", "known host keys"),
    "host_key_check": Key("choice", "accept-new", "unknown host keys", choices=("yes", "accept-new", "no")),
    "event_delay": Key("integer", "10", "longest hold of an event whose change Gerrit does not show yet, seconds"),
    "stream_timeout": Key("integer", "3 × keepalive, at least 120", "seconds of silence that end a stream", least=1),
    "max_ssh_channels": Key("integer", "4", "commands at the same time", least=1, most=64),
    "commands_per_minute": Key("integer", "600", "most commands in a minute, a sixtieth in a second; 0: no limit"),
    "reconcile_interval": Key("integer", "300", "seconds between two looks for missed events; 0 turns them off"),
    "stream": Key("choice", "ssh", "how events come; webhooks: its plugin posts them", choices=("ssh", "webhooks")),
    "webhook_secret": Key("text", "none", "what posts of the webhooks plugin have to know", secret=True),
}

SMTP = {
    "driver": GERRIT["driver"],
    "server": Key("text", "localhost", "host of the mail server"),
    "port": Key("integer", "25", "its port", least=1, most=65535),
    "default_from": Key("text", "zuul", "sender, unless the layout names one"),
    "default_to": Key("text", "zuul", "recipients, unless the layout names some"),
}

SQL = {"driver": GERRIT["driver"], "dburi": Key("text", "required", "database, as SQLAlchemy writes it", secret=True)}

_SWIFT_TEXTS = (
    "X-Storage-Url authurl user tenant_name auth_version preauthurl cacert tenant_id service_type endpoint_type "
    "object_storage_url region_name default_container default_file_path_prefix default_logserver_prefix"
)
_SWIFT_INTEGERS = (
    "retries starting_backoff max_backoff default_expiry default_max_file_size default_max_file_count"  # seconds, bytes
)
_SWIFT_SECRETS = "X-Account-Meta-Temp-Url-Key key preauthtoken auth_token"
SWIFT = {
    "send-temp-url-key": Key("boolean", "true", "accepted"),
    **{name: Key("boolean", "none", "accepted") for name in ("snet", "insecure", "ssl_compression")},
    **{name: Key("integer", "none", "accepted") for name in _SWIFT_INTEGERS.split()},
    **{name.lower(): Key("text", "none", "accepted") for name in _SWIFT_TEXTS.split()},
    **{name.lower(): Key("text", "none", "accepted", secret=True) for name in _SWIFT_SECRETS.split()},
}

SECTIONS: Mapping[str, Mapping[str, Key]] = {
    "gearman": GEARMAN,
    "gearman_server": GEARMAN_SERVER,
    "zuul": ZUUL,
    "merger": MERGER,
    "webapp": WEBAPP,
    "web": WEB,
    "database": DATABASE,
    "swift": SWIFT,
    "gerrit": GERRIT,
    "smtp": SMTP,
}
JENKINS_SECTION = "jenkins NAME"
DRIVERS: Mapping[str, Mapping[str, Key]] = {"gerrit": GERRIT, "smtp": SMTP, "sql": SQL}

NAMED = ("connection", "jenkins", "site", "node")
"""First words of sections that have a name."""

TOLERATED = ("launcher", "site ", "node ")
"""Sections of zuul-launcher, which is not offered."""
