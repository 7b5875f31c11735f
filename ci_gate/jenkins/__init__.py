"""A stock Jenkins as a Gearman worker (``spec/gearman-jenkins.md`` part B): what ``ci-gate jenkins`` runs.

``bridge.py`` is one Jenkins: its loop, its two Gearman connections. It stands on ``books.py`` (jobs as functions,
builds and what is said about them), ``builds.py`` (what follows for a build from a look at Jenkins; pure),
``manager.py`` (stop and describe), ``api.py`` (Jenkins' answers as values), ``http.py`` (one request, and what its
status means),
``names.py`` (jobs' names, paths and addresses), ``declaring.py`` (parameters that jobs lack) and ``secrets.py`` (where
the token comes from).
"""
