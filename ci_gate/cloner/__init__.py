"""Inside a job: working copies of several projects, as the change under test wants them (``spec/merger.md`` 9).

``request`` says what is asked for, ``destinations`` where each project goes, ``refs`` what may be tried for it;
``project`` gets one project's copy and finds its commit, ``workspace`` does all of them and puts them in place.

Workers install it without the rest of ci-gate (``deploy/cloner``): nothing here imports anything beyond itself, the
standard library and, for clone maps only, PyYAML; and it runs on Python 3.10.
"""
