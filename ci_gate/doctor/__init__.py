"""What keeps a site from working, found by looking: at files, at Gerrit, the job server, Jenkins and what we serve.

Used by ``ci-gate doctor``. Begin with ``examination.py``, which lists all checks; ``running.py`` runs them,
``printing.py`` shows them, every other module holds the checks of one kind. Nothing here changes anything anywhere:
no vote is given, no host key is recorded, no folder is made.
"""
