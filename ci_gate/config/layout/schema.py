"""The tables: every key that a layout may have, what it takes and what it means (``spec/layout.md`` 3-8)."""

from __future__ import annotations

from typing import TypeVar

from yaml.nodes import Node

from ci_gate.config.layout.fields import Choice, Flag, Integer, Key, Kind, Nested, Regex, Several, Table, Text
from ci_gate.model.expression import Expression
from ci_gate.model.layout import DEFAULT_MERGE_FAILURE_MESSAGE, DEPENDENT, INDEPENDENT, SUPERCEDENT
from ci_gate.model.modes import Precedence

T = TypeVar("T")

NO_TEXTS: tuple[str, ...] = ()
NO_EXPRESSIONS: tuple[Expression, ...] = ()
REGEXES = Several(Regex())
STRANGERS = Regex(for_strangers=True)
STRANGERS_REGEXES = Several(STRANGERS)
TEXTS = Several(Text())

RESERVED_PIPELINE_NAMES = ("name", "template", "merge-mode")
BUILT_IN_TRIGGERS = ("timer", "zuul")
CLASSIC_EVENTS = (
    "patchset-created",
    "draft-published",
    "change-abandoned",
    "change-restored",
    "change-merged",
    "comment-added",
    "ref-updated",
)
FURTHER_EVENTS = (
    "merge-failed",
    "reviewer-added",
    "reviewer-deleted",
    "vote-deleted",
    "topic-changed",
    "hashtags-changed",
    "custom-keyed-values-changed",
    "assignee-changed",
    "wip-state-changed",
    "private-state-changed",
    "change-deleted",
)
"""What ci-gate takes besides (gerrit-wire.md 3.3)."""
EVENTS_WITHOUT_SUBJECT = (
    "project-created",
    "project-head-updated",
    "batch-ref-updated",
    "dropped-output",
    "ref-replicated",
    "ref-replication-done",
    "ref-replication-scheduled",
)
"""They name neither a change nor a single ref: known, and nothing can start from them."""
ZUUL_EVENTS = ("parent-change-enqueued", "project-change-merged")


def nested(name: str, described: str, help_text: str, *, required: bool = False) -> Key[Node | None]:
    return Key(name, Nested(described), None, help_text, required)


def optional(name: str, kind: Kind[T], help_text: str) -> Key[T | None]:
    """A key whose absence means: not asked, or left to the configuration."""
    return Key(name, kind, None, help_text)


# --- the file ---

INCLUDES = nested("includes", "a list", "Python files with parameter functions.")
PIPELINES = nested("pipelines", "a list", "What starts jobs, and where results go.", required=True)
JOBS = nested("jobs", "a list", "Attributes of jobs.")
TEMPLATES = nested("project-templates", "a list", "Job lists that several projects share.")
PROJECTS = nested("projects", "a list", "Which jobs run for which project.", required=True)
FILE = Table("the layout", (INCLUDES, PIPELINES, JOBS, TEMPLATES, PROJECTS))

PYTHON_FILE = Key("python-file", Text(), "", "A file whose functions `parameter-function` may name.")
INCLUDE = Table("an include", (PYTHON_FILE,))

# --- pipelines ---

PIPELINE_NAME = Key("name", Text(), "", "Used in projects, job parameters and metrics.", required=True)
MANAGER = Key(
    "manager", Choice((INDEPENDENT, DEPENDENT, SUPERCEDENT)), INDEPENDENT, "How items share queues.", required=True
)
TRIGGER = nested("trigger", "a mapping: trigger name to filters", "Which events start the pipeline.", required=True)
SOURCE = Key("source", Text(), "gerrit", "The Gerrit connection where changes are looked up.")
DESCRIPTION = Key("description", Text(), "", "Shown on the status page.")
PRECEDENCE = Key("precedence", Choice(tuple(Precedence)), "normal", "Gearman priority of builds and merges.")
SUCCESS_TEXT = Key("success-message", Text(), "Build succeeded.", "First line of a success report.")
FAILURE_TEXT = Key("failure-message", Text(), "Build failed.", "First line of a failure report.")
MERGE_FAILURE_TEXT = Key(
    "merge-failure-message", Text(), DEFAULT_MERGE_FAILURE_MESSAGE, "The report for a change that cannot be merged."
)
FOOTER = Key("footer-message", Text(), "", "Ends every report.")
REQUIRE = nested("require", "a mapping", "What a change must fulfil to enter.")
REJECT = nested("reject", "a mapping", "What keeps a change out.")
START = nested("start", "a mapping: connection to settings", "Reported when an item enters.")
SUCCESS = nested("success", "a mapping: connection to settings", "Reported when all voting jobs succeeded.")
FAILURE = nested("failure", "a mapping: connection to settings", "Reported when a voting job failed.")
MERGE_FAILURE = nested(
    "merge-failure", "a mapping: connection to settings", "Reported when a change cannot be merged; else as `failure`."
)
DISABLED = nested("disabled", "a mapping: connection to settings", "Reported while the pipeline is disabled.")
DEQUEUE = Key("dequeue-on-new-patchset", Flag(), True, "A new patch set removes the older one.")
IGNORE_DEPENDENCIES = Key("ignore-dependencies", Flag(), False, "Independent: do not put needed changes in front.")
DISABLE_AFTER = Key(
    "disable-after-consecutive-failures",
    Integer(1),
    0,
    "So many failures in a row disable the pipeline; absent: never.",
)
WINDOW = Key("window", Integer(0), 20, "Dependent: so many items of a queue run jobs; 0: all.")
WINDOW_FLOOR = Key("window-floor", Integer(1), 3, "The window never shrinks below.")
WINDOW_INCREASE = Key("window-increase-type", Choice(("linear", "exponential")), "linear", "How it grows on success.")
WINDOW_INCREASE_FACTOR = Key("window-increase-factor", Integer(1), 1, "By how much.")
WINDOW_DECREASE = Key(
    "window-decrease-type", Choice(("linear", "exponential")), "exponential", "How it shrinks on failure."
)
WINDOW_DECREASE_FACTOR = Key("window-decrease-factor", Integer(1), 2, "By how much.")
WINDOW_CEILING = Key("window-ceiling", Integer(1), 0, "The window never grows above; absent: no bound.")
PRIORITY = nested("priority", "a list of mappings", "Which items go first.")
LIMIT = Key("limit", Integer(1), 0, "Independent: so many items below value 0 run at a time; absent: no bound.")
WINDOW_KEYS = (
    WINDOW,
    WINDOW_FLOOR,
    WINDOW_INCREASE,
    WINDOW_INCREASE_FACTOR,
    WINDOW_DECREASE,
    WINDOW_DECREASE_FACTOR,
    WINDOW_CEILING,
)
ACTIONS = (START, SUCCESS, FAILURE, MERGE_FAILURE, DISABLED)
PIPELINE = Table(
    "a pipeline",
    (
        *(PIPELINE_NAME, DESCRIPTION, MANAGER, SOURCE, PRECEDENCE, TRIGGER, REQUIRE, REJECT, *ACTIONS),
        *(SUCCESS_TEXT, FAILURE_TEXT, MERGE_FAILURE_TEXT, FOOTER, DEQUEUE, IGNORE_DEPENDENCIES, DISABLE_AFTER),
        *(*WINDOW_KEYS, PRIORITY, LIMIT),
    ),
)

PRIORITY_VALUE = Key("value", Integer(), 0, "High goes first.", required=True)
PRIORITY_OWNER = optional("owner", STRANGERS, "The change's owner.")
PRIORITY_TOPIC = optional("topic", STRANGERS, "The change's topic.")
PRIORITY_HASHTAG = optional("hashtag", STRANGERS, "One of the change's hashtags.")
PRIORITY_COMMENT = optional("comment", STRANGERS, "The comment that started it.")
PRIORITY_ENTRY = Table(
    "a priority", (PRIORITY_VALUE, PRIORITY_OWNER, PRIORITY_TOPIC, PRIORITY_HASHTAG, PRIORITY_COMMENT)
)

# --- triggers ---

EVENTS = Several(Choice((*CLASSIC_EVENTS, *FURTHER_EVENTS, *EVENTS_WITHOUT_SUBJECT)))
EVENT = Key("event", EVENTS, NO_TEXTS, "The event's type.", required=True)
BRANCH = Key("branch", REGEXES, NO_EXPRESSIONS, "Matches the change's branch.")
REF = Key("ref", REGEXES, NO_EXPRESSIONS, "Matches the name of an updated ref.")
IGNORE_DELETES = Key("ignore-deletes", Flag(), True, "Pass over deleted refs.")
COMMENT = Key("comment", STRANGERS_REGEXES, NO_EXPRESSIONS, "Found in the comment, headline included.")
EMAIL = Key("email", STRANGERS_REGEXES, NO_EXPRESSIONS, "Found in the account's e-mail address.")
USERNAME = Key("username", STRANGERS_REGEXES, NO_EXPRESSIONS, "Found in the account's user name.")
APPROVAL = nested("approval", "a mapping: label to number", "Votes that the event carries; all must be there.")
REQUIRE_APPROVAL = nested("require-approval", "vote requirements", "Votes on the change; every entry must be met.")
REJECT_APPROVAL = nested("reject-approval", "vote requirements", "Votes on the change; no entry may be met.")
OLD_COMMENT = Key("comment_filter", STRANGERS_REGEXES, NO_EXPRESSIONS, "Old name of `comment`.")
OLD_EMAIL = Key("email_filter", STRANGERS_REGEXES, NO_EXPRESSIONS, "Old name of `email`.")
OLD_USERNAME = Key("username_filter", STRANGERS_REGEXES, NO_EXPRESSIONS, "Old name of `username`.")
SCOPE = Key("scope", Choice(("failed",)), "", "`failed`: run again only what failed on the same base.")
GERRIT_FILTER = Table(
    "a Gerrit trigger",
    (
        *(EVENT, BRANCH, REF, IGNORE_DELETES, COMMENT, EMAIL, USERNAME, APPROVAL, REQUIRE_APPROVAL, REJECT_APPROVAL),
        *(OLD_COMMENT, OLD_EMAIL, OLD_USERNAME, SCOPE),
    ),
)

TIME = Key("time", Text(), "", "minute hour day month weekday [second]; weekday 0 is Monday.", required=True)
TIMER_FILTER = Table("a timer trigger", (TIME,))

ZUUL_EVENT = Key("event", Several(Choice(ZUUL_EVENTS)), NO_TEXTS, "What this service did.", required=True)
ZUUL_PIPELINE = Key("pipeline", REGEXES, NO_EXPRESSIONS, "Matches the pipeline that the parent entered.")
ZUUL_FILTER = Table("a zuul trigger", (ZUUL_EVENT, ZUUL_PIPELINE, REQUIRE_APPROVAL, REJECT_APPROVAL))

# --- require and reject ---

OPEN = optional("open", Flag(), "The change is open (or is not).")
CURRENT = optional("current-patchset", Flag(), "It is the change's latest patch set (or is not).")
STATUS = Key("status", TEXTS, NO_TEXTS, "Gerrit's status of the change: NEW, MERGED, …")
REQUIRED_VOTES = nested("approval", "vote requirements", "Votes on the current patch set.")
WIP = optional("wip", Flag(), "Work in progress (or not).")
PRIVATE = optional("private", Flag(), "Private (or not).")
SUBMITTABLE = optional("submittable", Flag(), "Gerrit would let it be submitted (or not).")
REQUIREMENTS = Table("require", (OPEN, CURRENT, STATUS, REQUIRED_VOTES, WIP, PRIVATE, SUBMITTABLE))
REJECTIONS = Table("reject", (REQUIRED_VOTES, WIP, PRIVATE, SUBMITTABLE))

VOTE_USERNAME = optional("username", STRANGERS, "Found in the voter's user name.")
VOTE_EMAIL = optional("email", STRANGERS, "Found in the voter's e-mail address.")
VOTE_OLD_EMAIL = optional("email-filter", STRANGERS, "Old name of `email`.")
NEWER_THAN = nested("newer-than", "a time such as 48h", "Given at most that long ago.")
OLDER_THAN = nested("older-than", "a time such as 48h", "Given more than that long ago.")
VOTE = Table(
    "a vote requirement",
    (VOTE_USERNAME, VOTE_EMAIL, VOTE_OLD_EMAIL, NEWER_THAN, OLDER_THAN),
    others="review labels: a number or a list of numbers",
)

# --- reporters ---

GERRIT_FLAGS = ("submit", "abandon", "restore", "publish", "delete", "rebase", "force-message")
GERRIT_OPTIONS = ("tag", "notify", "branch", "move")
MAIL_TO = optional("to", Text(), "Addresses, with commas between them.")
MAIL_FROM = optional("from", Text(), "The sender.")
MAIL_SUBJECT = optional("subject", Text(), "A format string with `change`.")
MAIL_CONNECTION = optional("connection", Text(), "Allowed and ignored.")
SMTP_REPORTER = Table("an smtp reporter", (MAIL_TO, MAIL_FROM, MAIL_SUBJECT, MAIL_CONNECTION))
SCORE = Key("score", Integer(), 0, "Stored with the result.")
SQL_REPORTER = Table("an sql reporter", (SCORE,))

# --- jobs ---

JOB_NAME = Key("name", Text(), "", "One job; or, if it starts with ^, an expression for names of jobs.", required=True)
VOTING = Key("voting", Flag(), True, "Counts for the result of the change.")
HOLD = Key("hold-following-changes", Flag(), False, "Dependent: items behind wait until it succeeded.")
ATTEMPTS = Key("attempts", Integer(), 3, "How often a build is launched whose worker vanishes.")
QUEUE_NAME = Key("queue-name", Text(), "", "Name of the shared change queue that the job makes.")
MUTEX = Key("mutex", Text(), "", "Of all jobs with this name one runs at a time.")
TAGS = Key("tags", TEXTS, NO_TEXTS, "For parameter functions.")
FUNCTION = Key("parameter-function", Text(), "", "Sets parameters before each launch.")
JOB_BRANCH = Key("branch", REGEXES, NO_EXPRESSIONS, "Runs only if one matches the change's branch.")
FILES = Key("files", REGEXES, NO_EXPRESSIONS, "Runs only if one matches a changed file (`/COMMIT_MSG` is one).")
SKIP_IF = nested("skip-if", "a list of mappings", "Does not run if any entry matches.")
SWIFT = nested("swift", "a mapping, or a list of them", "Where logs may be uploaded.")
JOB_SUCCESS_TEXT = Key("success-message", Text(), "", "In place of SUCCESS in reports.")
JOB_FAILURE_TEXT = Key("failure-message", Text(), "", "In place of FAILURE in reports.")
SUCCESS_PATTERN = Key("success-pattern", Text(), "", "The URL in reports, as a format string.")
FAILURE_PATTERN = Key("failure-pattern", Text(), "", "The URL in reports, as a format string.")
JOB = Table(
    "a job",
    (
        *(JOB_NAME, VOTING, HOLD, ATTEMPTS, QUEUE_NAME, MUTEX, TAGS, FUNCTION, JOB_BRANCH, FILES, SKIP_IF, SWIFT),
        *(JOB_SUCCESS_TEXT, JOB_FAILURE_TEXT, SUCCESS_PATTERN, FAILURE_PATTERN),
    ),
)

SKIP_PROJECT = optional("project", Regex(), "Matches the project's name.")
SKIP_BRANCH = optional("branch", Regex(), "Matches the change's branch.")
SKIP_FILES = Key("all-files-match-any", REGEXES, NO_EXPRESSIONS, "Every changed file matches one of these.")
SKIP = Table("a skip-if entry", (SKIP_PROJECT, SKIP_BRANCH, SKIP_FILES))

SWIFT_NAME = Key("name", Text(), "", "Names the destination.", required=True)
CONTAINER = optional("container", Text(), "The container.")
EXPIRY = optional("expiry", Integer(), "Seconds until the signature ends.")
MAX_FILE_SIZE = optional("max-file-size", Integer(), "Bytes.")
MAX_FILE_COUNT = optional("max-file-count", Integer(), "Number of files.")
LOGSERVER_PREFIX = optional("logserver-prefix", Text(), "The URL under which logs are read.")
OLD_MAX_FILE_SIZE = optional("max_file_size", Integer(), "Old name of `max-file-size`.")
OLD_MAX_FILE_COUNT = optional("max_file_count", Integer(), "Old name of `max-file-count`.")
OLD_LOGSERVER_PREFIX = optional("logserver_prefix", Text(), "Old name of `logserver-prefix`.")
DESTINATION = Table(
    "a swift destination",
    (
        *(SWIFT_NAME, CONTAINER, EXPIRY, MAX_FILE_SIZE, MAX_FILE_COUNT, LOGSERVER_PREFIX),
        *(OLD_MAX_FILE_SIZE, OLD_MAX_FILE_COUNT, OLD_LOGSERVER_PREFIX),
    ),
)

# --- projects and templates ---

PROJECT_NAME = Key("name", Text(), "", "As Gerrit knows it.", required=True)
MERGE_MODE = Key(
    "merge-mode", Choice(("merge-resolve", "merge", "cherry-pick")), "merge-resolve", "How changes are merged."
)
TEMPLATE = nested("template", "a list of mappings", "Templates to use: a name and its parameters.")
PROJECT = Table("a project", (PROJECT_NAME, MERGE_MODE, TEMPLATE), others="pipeline names: job lists")

TEMPLATE_NAME = Key("name", Text(), "", "What projects call it by.", required=True)
PROJECT_TEMPLATE = Table("a project template", (TEMPLATE_NAME,), others="pipeline names: job lists")

TABLES = (
    *(
        FILE,
        INCLUDE,
        PIPELINE,
        GERRIT_FILTER,
        TIMER_FILTER,
        ZUUL_FILTER,
        REQUIREMENTS,
        REJECTIONS,
        VOTE,
        PRIORITY_ENTRY,
    ),
    *(SMTP_REPORTER, SQL_REPORTER, JOB, SKIP, DESTINATION, PROJECT, PROJECT_TEMPLATE),
)
