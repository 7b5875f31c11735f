"""What the scheduler wants done. One effect is one call to the outside, and each is safe to repeat.

The outbox carries them out after they have been recorded; what they bring back is an input again.
"""

from __future__ import annotations

from dataclasses import dataclass

from ci_gate.model.build import Begun, BuildRequest, NumberedBuild, Precedence
from ci_gate.model.history import PastBuildSet
from ci_gate.model.merge import MergeRequest, UpdateRequest
from ci_gate.model.operations import CommandAnswer
from ci_gate.model.report import Report
from ci_gate.model.search import Search


@dataclass(frozen=True, slots=True)
class QueryChange:
    """Ask Gerrit for everything about a change; answered by ChangeAnswered or QueryFailed. Reads only.

    ``readiness``: also whether Gerrit would submit it.
    """

    ticket: int
    connection: str
    number: str
    readiness: bool = False


@dataclass(frozen=True, slots=True)
class SearchChanges:
    """Ask Gerrit which changes there are; answered by ChangesFound or QueryFailed. Reads only."""

    ticket: int
    connection: str
    search: Search
    readiness: bool = False


@dataclass(frozen=True, slots=True)
class Merge:
    """Make a speculative state; answered by MergeAnswered. Named by the build set: a repeat finds the same ref.

    ``fresh``: look where the branch stands, whatever events have told; a gate merges onto it.
    """

    request: MergeRequest
    precedence: Precedence
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class UpdateRepository:
    """Bring a project's repository up to date for builds of a ref; answered by MergeAnswered."""

    request: UpdateRequest
    precedence: Precedence


@dataclass(frozen=True, slots=True)
class VerifySubmit:
    """Find out whether Gerrit has merged a change, and its branch has it; answered by SubmitVerified. Reads only.

    ``built`` is the state that was tested with it: is that what the branch has now?
    """

    item: int
    connection: str
    number: str
    project: str
    branch: str
    built: str | None = None


@dataclass(frozen=True, slots=True)
class LaunchBuild:
    """Hand a build to the workers; answered by BuildUpdated and BuildEnded. The uuid makes a repeat attach.

    ``begun`` is None at the first try. At a repeat it is what a worker had begun, if one had said so: not every job
    server tells that again.
    """

    request: BuildRequest
    begun: Begun | None = None


@dataclass(frozen=True, slots=True)
class CancelBuild:
    """Take a build out of the job server's queue, or stop it where it runs. Not answered.

    ``first_tried_at`` is None at the first try. At a repeat it is the first try's time.
    """

    uuid: str
    first_tried_at: float | None = None


@dataclass(frozen=True, slots=True)
class DescribeBuilds:
    """Have Jenkins show ``html`` beside builds of one build set. Not answered, and not repeated by a restart: it is for
    people who happen to look there, and the build history has it too.
    """

    builds: tuple[NumberedBuild, ...]
    html: str


@dataclass(frozen=True, slots=True)
class SendReport:
    """Deliver a report; answered by ReportAnswered.

    ``first_tried_at`` is None at the first try. At a repeat it is the first try's time: the adapter looks whether
    the report has arrived meanwhile before it sends it again.
    """

    report_id: int
    report: Report
    first_tried_at: float | None = None


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Wake the scheduler with TimerFired at ``at`` (seconds since the epoch)."""

    timer: str
    at: float


@dataclass(frozen=True, slots=True)
class RecordRunTime:
    """A build ended with a result of its own after ``seconds``: later estimates are made from it."""

    job: str
    seconds: float
    succeeded: bool


@dataclass(frozen=True, slots=True)
class RecordHistory:
    """Keep for the build history what became of an item. Keyed by identifiers: a repeat writes the same rows.

    Not carried out by the outbox: the journal's writer does it once the step is there.
    """

    build_set: PastBuildSet


@dataclass(frozen=True, slots=True)
class AnswerCommand:
    """Tell the operator who waits for it what the command with this ticket came to. Nobody may wait any more."""

    ticket: int
    answer: CommandAnswer


Effect = (
    QueryChange
    | SearchChanges
    | Merge
    | UpdateRepository
    | VerifySubmit
    | LaunchBuild
    | CancelBuild
    | DescribeBuilds
    | SendReport
    | SetTimer
    | RecordRunTime
    | RecordHistory
    | AnswerCommand
)
