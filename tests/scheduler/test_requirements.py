"""Submit requirements, our own labels aside (gerrit-wire.md 4.6 (b))."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_gate.model.change import AtomsSeen, Change, ChangeKey, SubmitRequirement
from ci_gate.scheduler.readiness import Blocker, blockers, is_known, is_submittable
from ci_gate.scheduler.requirements import (
    All,
    AnyOf,
    Atom,
    Not,
    UnreadableError,
    evaluate,
    label_of,
    parse,
    passes,
)

OURS = frozenset({"verified"})


def unmet(expression: str, *passing: str, name: str = "Some", **more) -> SubmitRequirement:
    return SubmitRequirement(name, "UNSATISFIED", submittability=AtomsSeen(expression, passing), **more)


@pytest.mark.parametrize("status", ["SATISFIED", "OVERRIDDEN", "NOT_APPLICABLE", "FORCED"])
def test_what_gerrit_calls_met_passes(status):
    assert passes(SubmitRequirement("Code-Review", status), ())


@pytest.mark.parametrize("status", ["ERROR", "", "NEW_IN_SOME_LATER_GERRIT"])
def test_an_unknown_status_does_not_pass_even_for_our_own_label(status):
    requirement = SubmitRequirement("Verified", status, submittability=AtomsSeen("label:Verified=MAX"))
    assert not passes(requirement, OURS)


@pytest.mark.parametrize(
    ("expression", "passing", "lets_pass"),
    [
        ("label:Verified=MAX AND -label:Verified=MIN", (), True),
        ("label:verified=MAX", (), True),
        ("label:Verified=MAX AND -has:unresolved", (), True),
        ("label:Verified=MAX AND -has:unresolved", ("has:unresolved",), False),
        ("label:Verified=MAX -has:unresolved", ("has:unresolved",), False),
        ("label:Verified=MAX OR label:Override=MAX", (), True),
        ("label:Workflow=MAX AND -label:Workflow=MIN", (), False),
        ("label:Workflow=MAX AND label:Verified=MAX", (), False),
        ("label:Workflow=MAX AND label:Verified=MAX", ("label:Workflow=MAX",), True),
        ("NOT (label:Verified=MIN OR has:unresolved)", (), True),
        ("NOT (label:Verified=MIN OR has:unresolved)", ("has:unresolved",), False),
        ("label:Other=MAX OR label:Workflow=MAX AND label:Verified=MAX", (), False),
        ("(label:Other=MAX OR label:Workflow=MAX) label:Verified+1", ("label:Other=MAX",), True),
        ('label:"Verified=MAX"', (), True),
        ("label:{Verified}>=1", (), True),
        ("label:Verified=MAX,user=ci", (), True),
        ("label:Verified", (), True),
        ("label:Verified-by-Hand=MAX", (), False),
        ('message:"label:Verified=MAX AND x"', (), False),
    ],
)
def test_only_what_our_own_vote_could_change_is_left_open(expression, passing, lets_pass):
    assert passes(unmet(expression, *passing), OURS) is lets_pass


def test_without_labels_of_our_own_nothing_is_left_open():
    assert not passes(unmet("label:Verified=MAX"), ())


def test_one_made_of_a_submit_record_is_judged_by_its_name():
    """3.10's atoms of such keep the sign in front."""
    record = {"is_legacy": True, "name": "Verified"}
    assert passes(unmet("label:Code-Review=MAX", **record), OURS)
    assert not passes(unmet("label:Verified=MAX", **record | {"name": "Code-Review"}), OURS)


@pytest.mark.parametrize("expression", ["", "(", "label:A=MAX AND", "OR label:A", "a)", '"open', "NOT", "(" * 5000])
def test_an_expression_that_cannot_be_read_passes_by_its_name_alone(expression):
    with pytest.raises(UnreadableError):
        parse(expression)
    assert passes(unmet(expression, name="Verified"), OURS)
    assert not passes(unmet(expression, name="Other"), OURS)


def test_an_override_that_our_vote_could_give_passes():
    other = AtomsSeen("label:Owner-Override=MAX")
    assert passes(unmet("label:Workflow=MAX", override=AtomsSeen("label:Verified=MAX")), OURS)
    assert not passes(unmet("label:Workflow=MAX", override=other), OURS)
    assert not passes(unmet("label:Workflow=MAX", override=AtomsSeen("(")), OURS)


@pytest.mark.parametrize(
    ("atom", "label"),
    [
        ("label:Code-Review=MAX", "Code-Review"),
        ("label:Code-Review+2", "Code-Review"),
        ("label:Code-Review-2,user=x", "Code-Review"),
        ("label:Code-Review>=1", "Code-Review"),
        ("label:Code-Review,group=g", "Code-Review"),
        ('label:"Code-Review"=ok', "Code-Review"),
        ("label:V2-Check", "V2-Check"),
        ("has:unresolved", None),
        ("mylabel:A=1", None),
        ("label:", None),
    ],
)
def test_the_label_of_an_atom_is_found(atom, label):
    assert label_of(atom) == label


# --- any expression ---

ATOMS = tuple(
    Atom(text) for text in ("label:A=MAX", "b:c", "is:wip", 'file:"x y"', "{a OR b}", "label:Long-Name+2", "d")
)
TERMS = st.recursive(
    st.sampled_from(ATOMS),
    lambda inner: st.one_of(
        inner.map(Not),
        st.lists(inner, min_size=2, max_size=4).map(lambda terms: All(tuple(terms))),
        st.lists(inner, min_size=2, max_size=4).map(lambda terms: AnyOf(tuple(terms))),
    ),
    max_leaves=12,
)
VALUES = st.fixed_dictionaries({each.text: st.sampled_from([True, False, None]) for each in ATOMS})


def written(term, draw) -> str:
    """One of the ways to write a term."""
    match term:
        case Atom(text):
            return text
        case Not(inner):
            text = written(inner, draw)
            text = text if isinstance(inner, Atom | Not) else f"({text})"
            return draw(st.sampled_from(["-", "NOT ", "NOT  "])) + text
        case All(terms):
            parts = [
                f"({written(each, draw)})" if isinstance(each, All | AnyOf) else written(each, draw) for each in terms
            ]
            return "".join(part + draw(st.sampled_from([" ", " AND ", "\tAND  "])) for part in parts[:-1]) + parts[-1]
        case AnyOf(terms):
            return " OR ".join(
                f"({written(each, draw)})" if isinstance(each, AnyOf) else written(each, draw) for each in terms
            )
    raise AssertionError(term)


@given(TERMS, st.data())
def test_however_it_is_written_an_expression_is_read_as_it_was_meant(term, data):
    assert parse(written(term, data.draw)) == term


@given(st.text(alphabet='ab:"{}()- \tANDORNOT=+1'))
def test_any_text_is_read_or_refused(text):
    try:
        term = parse(text)
    except UnreadableError:
        return
    assert evaluate(term, lambda _: None) is None


@given(TERMS, VALUES)
def test_a_definite_answer_stays_whatever_the_unknown_turns_out_to_be(term, values):
    answer = evaluate(term, values.__getitem__)
    unknown = [name for name, value in values.items() if value is None]
    possible = {
        evaluate(term, (values | dict(zip(unknown, guess, strict=True))).__getitem__)
        for guess in itertools.product([True, False], repeat=len(unknown))
    }
    assert None not in possible
    if answer is not None:
        assert possible == {answer}


@given(TERMS, st.sets(st.sampled_from([each.text for each in ATOMS])))
def test_without_unknown_atoms_it_is_plain_logic(term, true):
    def plain(term) -> bool:
        match term:
            case Atom(text):
                return text in true
            case Not(inner):
                return not plain(inner)
            case All(terms):
                return all(map(plain, terms))
            case AnyOf(terms):
                return any(map(plain, terms))
        raise AssertionError(term)

    assert evaluate(term, true.__contains__) is plain(term)


@given(TERMS, VALUES)
def test_what_is_not_is_the_contrary(term, values):
    """De Morgan, with unknown atoms too."""
    match term:
        case All(terms):
            other = AnyOf(tuple(Not(each) for each in terms))
        case AnyOf(terms):
            other = All(tuple(Not(each) for each in terms))
        case _:
            other = Not(term)
    assert evaluate(Not(term), values.__getitem__) == evaluate(other, values.__getitem__)


# --- of a change ---


def change(*requirements: SubmitRequirement, **more) -> Change:
    return Change(
        ChangeKey("gerrit", "1", "1"),
        "demo/app",
        "master",
        "refs/changes/01/1/1",
        records_decide=False,
        submit_requirements=requirements,
        **more,
    )


def test_known_requirements_decide_alone():
    """Submit records of 3.13 say OK, or are not there."""
    found = change(unmet("label:Code-Review=MAX", name="Code-Review"), unmet("label:Verified=MAX", name="Verified"))
    assert blockers(found, OURS) == {Blocker("requirement", "Code-Review")}
    assert is_known(found)
    assert not is_submittable(found)
    met = change(SubmitRequirement("Code-Review", "SATISFIED"), unmet("label:Verified=MAX", name="Verified"))
    assert not blockers(met, OURS)
    assert not is_submittable(met), "our own vote is missing"
    assert is_submittable(change(SubmitRequirement("Code-Review", "SATISFIED")))


def test_work_in_progress_is_not_ready_whatever_the_requirements_say():
    assert blockers(change(wip=True), OURS) == {Blocker("wip")}
    assert blockers(change(is_open=False, status="MERGED"), OURS) == {Blocker("not-open", "MERGED")}
