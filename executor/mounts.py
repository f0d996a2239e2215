"""Where /in and /out lie: at these paths in a container, else in folders that a variable names.

Without a container (`detex run`) three variables stand in for what a platform provides:
EXECUTOR_IN and EXECUTOR_OUT name the folders that env.yaml, settings and index lines call /in and
/out, and EXECUTOR_TASK names the task, for an env.yaml that is missing or does not say. They hold
for this process and for every process that it starts.
"""

import os

IN_VARIABLE = "EXECUTOR_IN"
OUT_VARIABLE = "EXECUTOR_OUT"
TASK_VARIABLE = "EXECUTOR_TASK"

_ROOTS = (("/in", IN_VARIABLE), ("/out", OUT_VARIABLE))


def mounted(path: str) -> str:
    """The path on this machine of what is called `path`: another one only below /in and /out."""
    for root, variable in _ROOTS:
        if path.startswith(root) and (path == root or path[len(root)] == "/"):
            return os.environ.get(variable, root) + path[len(root) :]
    return path
