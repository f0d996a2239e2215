"""Whole runs of the supervisor with hostile settings: each must end with a terminal record.

Call these functions in a separate process: the supervisor takes over signals and children. The task
is `true`, so no run can succeed. The input cannot choose the output folder, to protect the machine.
"""

import os
import shutil
from functools import cache
from pathlib import Path

from app.stop_signals import StopSignals
from app.supervisor import Settings, supervise
from executor.env import Env, OutputPaths

_FIELDS = 6


def run_with_env(path: Path) -> None:
    """Run with the env.yaml at `path`; the folder that holds it stands for /in."""
    path.write_bytes(path.read_bytes().replace(b" /in", b" " + bytes(path.parent)))
    (path.parent / "config.yaml").write_text("class_names: [cat]\n")
    _run(path)


def run_with_config(path: Path) -> None:
    """Run with the config.yaml at `path`."""
    env_file = path.parent / "env.yaml"
    env_file.write_text(f"input: {{root_dir: {path.parent}}}\nrun_training: 1\n")
    _run(env_file)


def _run(env_file: Path) -> None:
    out = env_file.parent / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    send_output_to(out)
    settings = Settings(
        env_file=env_file,
        task_command=("/bin/true",),
        environ=dict(os.environ),
        grace_s=1.0,
        stall_s=600.0,
    )
    error = supervise(settings, _signals())
    lines = (out / "monitor.txt").read_text().split("\n")
    fields = lines[0].split("\t")
    assert len(fields) == _FIELDS, lines
    assert fields[3] == "4", lines
    assert int(fields[4]) >= 160004, lines
    assert error is not None
    assert 0 < error.exit_status < 128, error
    assert "report it" not in fields[5] or "ended without" in fields[5], lines


def send_output_to(folder: Path) -> None:
    """Move the defaults of env.yaml's `output` into `folder`."""
    fields = OutputPaths.model_fields
    old: Path = fields["root_dir"].default
    for field in fields.values():
        field.default = folder / Path(field.default).relative_to(old)
    assert Env().output.root_dir == folder


@cache
def _signals() -> StopSignals:
    return StopSignals()
