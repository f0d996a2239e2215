"""The folders that stand for /in and /out outside a container.

Without a container (`detex run`) three variables replace what a platform provides:
EXECUTOR_IN and EXECUTOR_OUT name the folders that env.yaml, settings and index lines call /in and
/out, and EXECUTOR_TASK names the task if env.yaml is missing or does not name it. They are valid
for this process and for every process that it starts.
"""

import os

IN_VARIABLE = "EXECUTOR_IN"
OUT_VARIABLE = "EXECUTOR_OUT"
TASK_VARIABLE = "EXECUTOR_TASK"

_ROOTS = (("/in", IN_VARIABLE), ("/out", OUT_VARIABLE))


def mounted(path: str) -> str:
    """Return the path on this machine; only paths below /in and /out change."""
    for root, variable in _ROOTS:
        if path.startswith(root) and (path == root or path[len(root)] == "/"):
            return os.environ.get(variable, root) + path[len(root) :]
    return path
