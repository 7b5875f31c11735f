"""Plain commands as jobs, for sites without Jenkins: what ``ci-gate worker`` runs.

``serving.py`` is the Gearman side; ``build.py`` runs one build in a fresh clone; ``command.py`` says what a job is, and
what of its parameters a command may see; ``logs.py`` serves the log files.
"""
