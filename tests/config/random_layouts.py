"""Layouts at random, by the tables of keys that the loader reads with: every key, every kind of value, and all valid.

What is nested has a strategy of its own in ``NESTED``, as it has a reader of its own in the loader.
"""

from __future__ import annotations

from hypothesis import strategies as st

from ci_gate.config.layout import schema as s
from ci_gate.config.layout.fields import Choice, Flag, Integer, Key, Regex, Several, Table, Text
from ci_gate.config.layout.templates import parameters_of

FUNCTIONS = "def mark(item, job, params):\n    params['MARK'] = '1'\n\n\ndef old(item, params):\n    pass\n"

ODD_TEXTS = [
    *("x", "", " lead", "trail ", "two\nlines\n", "\n\n", "a\n\n b\n", "ä ß 中 \U0001f600", "tab\there"),
    *("\x07\x1b\x85\u2028", "yes", "12", "1.5", "null", "~", "<<", "=", "!tag", "&a", "*a", "- a", "a: b", "a # b"),
    *("{a}", "[a]", "'", '"', "%s", "2026-11-24", "|", ">", "x" * 300, "x " * 100, "\\", "@", "`", "? a", "- ", ":"),
]
TEXTS = st.sampled_from(ODD_TEXTS) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\ufeff"), max_size=12
)
NAMES = ["check", "gate", "post", "a b", "yes", "12", "<<", "ünïcode", "x" * 140, "experimental: new"]
JOBS = ["unit", "lint", "docs", "noop", "app-docs", "gate-app-py", "a.b", "yes", "12", "<<", "ä", "j" * 140, "{x}"]
PATTERNS = ["^unit$", "^.*-docs$", "^gate-.*", "^(?!app)", "^(unit|lint)", "^[a-l]", "^.*", "^a", r"^a\.b$", "^nobody"]
TEMPLATE_STRINGS = ["{name}-unit", "{name}-{pyver}", "{pyver:->3}x", "{{x}}", "plain", "noop", "{name}", "{a!s}-{name}"]
PROJECTS = ["demo/app", "demo/lib", "app", "a/b/c", "true", "1", "<<", "ä/ö"]
REGEXES = st.sampled_from(
    [*("^master$", "^(?!stable/).*$", "", "x", r"(?i)re(?m)check", r"\e", "[[a]", "^$", "^a|b$", "(?L)x", "(?u)ä"),
     *(r"(a)\1", r"(?<!x)y", "(?m)^recheck$", "a{2,3}?", "^docs/", "/COMMIT_MSG", "yes", "12", "a\nb", "(a|a)*b")]
)  # fmt: skip
LABELS = st.sampled_from(["Verified", "verified", "Code Review", "1", "~", "<<", "Username", "Newer-than", "ß"])
TIMES = st.sampled_from(["0 3 * * *", "*/5 0-6 last jan,feb mon-fri 30", "0 0 1 * sun", "1 2 3 4 5 6"])
AGES = st.builds("{}{}".format, st.sampled_from([0, 1, 48, 60, 999999999]), st.sampled_from("smhdw"))
CONNECTIONS = {"gerrit": "gerrit", "review": "gerrit", "smtp": "smtp", "mail": "smtp", "results": "sql"}


def several(one, *, least=0):
    return one | st.lists(one, min_size=least, max_size=3)


def of_kind(kind):
    match kind:
        case Flag():
            return st.booleans()
        case Integer(minimum=least):
            return st.integers(-(10**6) if least is None else least, 10**6)
        case Choice(allowed=allowed):
            return st.sampled_from([str(each) for each in allowed])
        case Several(one=Choice() as one):
            return several(of_kind(one), least=1)
        case Several(one=one):
            return several(of_kind(one))
        case Regex():
            return REGEXES
        case Text():
            return TEXTS
        case _:
            raise TypeError(f"no values for {kind!r}")


def of_key(key: Key):
    made = NESTED.get(id(key))
    return made() if made else of_kind(key.kind)


def of_table(table: Table, *, without=(), **fixed):
    """A mapping with the keys of a table: all that it needs, and some others."""
    keys = [key for key in table.keys if key not in without and key.name.replace("-", "_") not in fixed]
    required = {key.name: of_key(key) for key in keys if key.required}
    optional = {key.name: of_key(key) for key in keys if not key.required}
    given = {name.replace("_", "-"): each for name, each in fixed.items()}
    return st.fixed_dictionaries(required | given, optional=optional).flatmap(shuffled)


def shuffled(mapping: dict):
    return st.permutations(list(mapping.items())).map(dict)


# --- what is nested ---


def requirements():
    labels = st.dictionaries(LABELS, several(st.integers(-2, 2)), max_size=2)
    return several(st.builds(lambda keys, votes: {**keys, **votes}, of_table(s.VOTE), labels))


def event_votes():
    return several(st.dictionaries(LABELS, st.integers(-2, 2) | st.sampled_from(["+2", "-1"]), max_size=2))


def gerrit_filter():
    types = st.sampled_from(s.CLASSIC_EVENTS)
    updates = st.just("ref-updated")
    with_ref = of_table(s.GERRIT_FILTER, event=updates | st.tuples(types, updates).map(list))
    return with_ref | of_table(s.GERRIT_FILTER, without=(s.REF,))


def zuul_filter():
    either = st.sampled_from(s.ZUUL_EVENTS)
    with_parent = st.just("parent-change-enqueued") | st.tuples(st.just("parent-change-enqueued"), either).map(list)
    return of_table(s.ZUUL_FILTER, event=with_parent) | of_table(s.ZUUL_FILTER, without=(s.ZUUL_PIPELINE,))


def trigger():
    filters = {"timer": of_table(s.TIMER_FILTER), "zuul": zuul_filter()}
    filters |= {name: gerrit_filter() for name, driver in CONNECTIONS.items() if driver == "gerrit"}
    return st.fixed_dictionaries({}, optional={name: several(each) for name, each in filters.items()}).flatmap(shuffled)


def action():
    gerrit = st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(s.GERRIT_FLAGS, st.booleans()),
            **dict.fromkeys(s.GERRIT_OPTIONS, TEXTS),
            **dict.fromkeys(("Verified", "verified", "yes", "<<", "Code Review"), st.integers(-2, 2) | st.just("+1")),
            "Flag": st.just(True),
        },
    ).flatmap(shuffled)
    settings = {"gerrit": gerrit, "smtp": of_table(s.SMTP_REPORTER), "sql": of_table(s.SQL_REPORTER)}
    reporters = {name: settings[driver] for name, driver in CONNECTIONS.items()}
    return st.fixed_dictionaries({}, optional=reporters).flatmap(shuffled)


NESTED = {
    id(s.TRIGGER): trigger,
    id(s.REQUIRE): lambda: of_table(s.REQUIREMENTS),
    id(s.REJECT): lambda: of_table(s.REJECTIONS),
    id(s.REQUIRED_VOTES): requirements,
    id(s.REQUIRE_APPROVAL): requirements,
    id(s.REJECT_APPROVAL): requirements,
    id(s.APPROVAL): event_votes,
    id(s.NEWER_THAN): lambda: AGES,
    id(s.OLDER_THAN): lambda: AGES,
    id(s.TIME): lambda: TIMES,
    id(s.SOURCE): lambda: st.sampled_from(["gerrit", "review"]),
    id(s.PRIORITY): lambda: st.lists(of_table(s.PRIORITY_ENTRY), max_size=2),
    id(s.SKIP_IF): lambda: st.lists(of_table(s.SKIP), max_size=2),
    id(s.SWIFT): lambda: several(of_table(s.DESTINATION)),
    id(s.FUNCTION): lambda: st.sampled_from(["mark", "old", ""]),
    **{id(each): action for each in s.ACTIONS},
}


# --- whole layouts ---


def named(table: Table, names: list[str], *, least=0, most=3, **fixed):
    """A list of mappings with names of their own."""
    picked = st.lists(st.sampled_from(names), unique=True, min_size=least, max_size=most)
    return picked.flatmap(lambda found: each_of([of_table(table, name=st.just(name), **fixed) for name in found]))


def each_of(strategies):
    return st.tuples(*strategies).map(list)


def job_list(names, depth=2):
    """As people write it: a list of names and of mappings; one name or one mapping will do."""
    name = st.sampled_from(names)
    if not depth:
        return st.lists(name, max_size=3)
    parent = st.dictionaries(name, st.deferred(lambda: job_list(names, depth - 1)), min_size=1, max_size=2)
    return several(name | parent) | st.lists(st.lists(name, max_size=2), max_size=1)


@st.composite
def layouts(draw):
    """A document as YAML has it, which is a valid layout but for shared queues with two names."""
    pipelines = draw(named(s.PIPELINE, NAMES, least=1))
    names = [each["name"] for each in pipelines]
    templates = draw(
        st.lists(st.sampled_from(["python-jobs", "docs", "<<", "é"]), unique=True, max_size=2).flatmap(
            lambda found: each_of([template(each, names) for each in found])
        )
    )
    calls = st.sampled_from(templates).flatmap(call) if templates else st.nothing()
    projects = draw(
        st.lists(st.sampled_from(PROJECTS), unique=True, max_size=4).flatmap(
            lambda found: each_of([project(each, names, calls) for each in found])
        )
    )
    document = {
        "includes": [{"python-file": "functions.py"}],
        "pipelines": pipelines,
        "jobs": draw(named(s.JOB, [*JOBS, *PATTERNS], most=6)),
        "project-templates": templates,
        "projects": projects,
    }
    return draw(shuffled(document))


def template(name: str, pipelines: list[str]):
    lists = st.dictionaries(st.sampled_from(pipelines), job_list(TEMPLATE_STRINGS), max_size=2)
    return lists.map(lambda trees: {"name": name, **trees})


def call(found: dict):
    wanted = sorted({each for text in strings(list(found.values())[1:]) for each in parameters_of(text)} - {"name"})
    values = st.fixed_dictionaries({each: st.sampled_from(["py3", "ä", "1", "yes"]) for each in wanted})
    return values.map(lambda given: {"name": found["name"], **given})


def strings(value):
    match value:
        case str():
            yield value
        case dict():
            yield from (text for pair in value.items() for each in pair for text in strings(each))
        case list():
            yield from (text for each in value for text in strings(each))


def project(name: str, pipelines: list[str], calls):
    lists = st.dictionaries(st.sampled_from(pipelines), job_list(JOBS), max_size=3)
    own = of_table(s.PROJECT, without=(s.TEMPLATE,), name=st.just(name))
    return st.builds(
        lambda keys, trees, used: {**keys, **({"template": used} if used else {}), **trees},
        own,
        lists,
        st.lists(calls, max_size=2) if not calls.is_empty else st.just([]),
    )
