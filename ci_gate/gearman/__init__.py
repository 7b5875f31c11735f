"""Builds over Gearman (``spec/gearman-jenkins.md`` part A).

``launcher.py`` is what the daemon talks to; it stands on ``client.py`` (one connection, in gear's threads),
``inquiry.py`` (questions on connections of their own), ``functions.py`` (who can do what) and ``answers.py`` (what
workers say). ``server.py`` is the built-in job server, ``server_process.py`` the child process that it runs in.
"""
