"""What holds in the end, as people see it in Gerrit, in the branches and in the results database."""

from __future__ import annotations

from collections import Counter

from crash_site import GATE_JOB, ONE, PUSH_JOB, TWO, CrashSite, git
from crash_stories import CHECKED, GATED, NOT_MERGED, STARTED, Expected


def check(site: CrashSite, expected: Expected) -> None:
    """Raises AssertionError."""
    _one_report_for_each_trigger(site, expected)
    _what_was_gated_was_merged(site, expected)
    _each_push_was_built(site, expected)
    _each_report_has_one_record(site)
    _builds_had_the_states_they_were_promised(site)
    _the_log_has_no_defect(site)


def _one_report_for_each_trigger(site: CrashSite, expected: Expected) -> None:
    found = Counter[tuple[int, int]]()
    for change in site.gerrit.changes:
        found.update((change.number, patch_set) for patch_set in site.reports(change.number, CHECKED))
    for (number, patch_set), count in expected.checks.items():
        reports = found[number, patch_set]
        if (number, patch_set) in expected.replaced:
            assert reports <= count, f"{reports} reports of check on {number},{patch_set}, which was replaced"
        else:
            assert reports == count, f"{reports} reports of check on {number},{patch_set} for {count} triggers"
    assert not found.keys() - expected.checks.keys()
    for number in (*expected.merged, *expected.failed):
        for beginning in (STARTED, GATED):
            reports = len(site.reports(number, beginning))
            assert reports == 1, f"{reports} messages '{beginning}' on {number}"
        assert not site.reports(number, NOT_MERGED)
        # Check and gate do not wait for each other; on what is merged, Gerrit lets nobody take a vote back.
        last = site.last_of(number, CHECKED, GATED)
        vote = 2 if number in expected.merged else -2 if last == GATED else -1
        assert site.vote(number) == vote, f"the vote on {number} is {site.vote(number)}, not {vote} as {last!r} said"


def _what_was_gated_was_merged(site: CrashSite, expected: Expected) -> None:
    """Master has had the very state that a successful build of the change was for, when the change came in."""
    for number in expected.merged:
        assert site.gerrit.change(number).status == "MERGED", f"{number}"
    for number in expected.failed:
        assert site.gerrit.change(number).status == "NEW", f"{number}"
    for project in (ONE, TWO):
        repository = site.gerrit.repository_path(project)
        states = site.branch(project)
        for number in expected.merged:
            change = site.gerrit.change(number)
            if change.project != project:
                continue
            revision = change.current.revision
            merged_as = next(each for each in states if revision in git(repository, "rev-list", each).split())
            tree = git(repository, "rev-parse", f"{merged_as}^{{tree}}")
            tested = [site.merged_tree(each) for each in site.gate_builds(number)]
            assert tree in tested, f"{number} was merged as {merged_as}, which was not tested"


def _each_push_was_built(site: CrashSite, expected: Expected) -> None:
    built = {each.parameters.get("ZUUL_NEWREV") for each in site.jenkins.builds if each.job == PUSH_JOB}
    recorded = Counter(site.pushes_recorded())
    assert set(expected.pushed) <= built
    assert all(recorded[revision] == 1 for revision in expected.pushed), f"{recorded}"


def _each_report_has_one_record(site: CrashSite) -> None:
    rows = site.rows("SELECT pipeline, change, patchset FROM zuul_buildset WHERE pipeline != 'post'")
    found = Counter(
        (pipeline, change.number, patch_set)
        for change in site.gerrit.changes
        for pipeline, beginning in (("check", CHECKED), ("gate", GATED))
        for patch_set in site.reports(change.number, beginning)
    )
    assert Counter(rows) == found, f"records and no reports: {Counter(rows) - found}, others: {found - Counter(rows)}"
    uuids = [uuid for (uuid,) in site.rows("SELECT uuid FROM zuul_build")]
    assert len(uuids) == len(set(uuids))


def _builds_had_the_states_they_were_promised(site: CrashSite) -> None:
    """Each build of the gate was for what is inside a state that holds all the changes that it names."""
    for build in site.jenkins.builds:
        if build.job != GATE_JOB or build.result != "SUCCESS":
            continue
        project = build.parameters["ZUUL_PROJECT"]
        repository = site.world.folder / "state" / "git" / project / ".git"
        history = git(repository, "rev-list", build.parameters["ZUUL_COMMIT"]).split()
        if not site.apart:
            assert build.commit == build.parameters["ZUUL_COMMIT"]
        for name in build.parameters["ZUUL_CHANGE_IDS"].split():
            number, patch_set = map(int, name.split(","))
            change = site.gerrit.change(number)
            if change.project == project:
                named = change.patch_set(patch_set)
                assert named is not None
                assert named.revision in history, f"{name} is not in the state of {build.parameters['ZUUL_REF']}"


def _the_log_has_no_defect(site: CrashSite) -> None:
    log = site.world.log.read_text(encoding="utf-8", errors="replace")
    for sign in ("Traceback", "could not handle an input", "would be decided otherwise"):
        assert sign not in log, f"'{sign}' in the log:\n{log[log.index(sign) - 500 : log.index(sign) + 3000]}"
