"""Functions that etc/layout.yaml names: each is called right before a build is launched.

A function gets the item, the job and the parameters, and changes the parameters in place. What it may use of item
and job is in docs/layout.md. If it raises, that build fails, and the report says why.
"""


def set_log_url(item, job, params):
    """Put logs where people look for them: by change, patch set, pipeline and job, one folder for each build."""
    if hasattr(item.change, "number"):
        subject = f"{item.change.number[-2:]:0>2}/{item.change.number}/{item.change.patchset}"
    elif hasattr(item.change, "newrev"):
        subject = f"{item.change.newrev[:2]}/{item.change.newrev}"
    else:
        subject = f"periodic/{item.change.project.name}"
    params["BASE_LOG_PATH"] = subject
    params["LOG_PATH"] = f"{subject}/{item.pipeline.name}/{job.name}/{params['ZUUL_UUID'][:7]}"
