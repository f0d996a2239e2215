#!/usr/bin/env python3
"""A stand-in for the `docker` command of the platform's client, with or without an engine.

Without: `docker run` starts STAND_IN_ENTRY, a shell command in place of the image's CMD, in a
private mount namespace where every `-v` is bound at its container path and `:ro` is honoured. So
the executor meets the real /in and /out. Needs root and `unshare`; everything else docker can do is
answered with success.

With: STAND_IN_DOCKER names the real program, which gets the same arguments. STAND_IN_OPTIONS (shell
words) are added to those of `run`, so that a run can be hardened beyond what the platform asks for.

STAND_IN_RECORD names a folder: the argument list of each run goes to `<container>.json`, and every
state that monitor.txt was seen in goes to `<container>.monitor`, one JSON string a line.
"""

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

WITH_VALUE = {"--user", "--gpus", "--shm-size", "--name", "-v", "--volume", "-e", "--env"}


def main() -> int:
    docker = os.environ.get("STAND_IN_DOCKER", "")
    if sys.argv[1:2] != ["run"]:
        return subprocess.call([docker, *sys.argv[1:]]) if docker else 0
    options, mounts, command = parse(sys.argv[2:])
    name = options.get("--name", "unnamed")
    record = Path(os.environ["STAND_IN_RECORD"])
    (record / f"{name}.json").write_text(json.dumps(sys.argv[1:]), encoding="utf-8")
    executor = subprocess.Popen(
        in_container(docker, command) if docker else in_namespace(options, mounts, command[1:])
    )
    monitors = [Path(source) / "monitor.txt" for source, target, _ in mounts if target == "/out"]
    watch(executor, monitors, record / f"{name}.monitor")
    for target in (Path("/in"), Path("/out")):  # mount points left empty on the real root
        if not docker and target.is_dir() and not any(target.iterdir()):
            target.rmdir()
    code = executor.wait()
    return code if code >= 0 else 128 - code


def parse(arguments: list[str]) -> tuple[dict[str, str], list[tuple[str, str, bool]], list[str]]:
    """Options, mounts (source, target, read-only), and the image's name with the command."""
    options: dict[str, str] = {}
    volumes: list[str] = []
    rest = list(arguments)
    while rest and rest[0].startswith("-"):
        flag = rest.pop(0)
        if flag.startswith("-v") and len(flag) > 2:
            volumes.append(flag[2:])
        elif "=" in flag:
            options.update([flag.split("=", 1)])
        elif flag in WITH_VALUE:
            value = rest.pop(0)
            if flag in ("-v", "--volume"):
                volumes.append(value)
            else:
                options[flag] = value
    mounts = []
    for volume in volumes:
        source, target, *mode = volume.split(":")
        mounts.append((source, target, "ro" in mode))
    return options, mounts, rest


def in_container(docker: str, command: list[str]) -> list[str]:
    """The real `docker run`; of an option given twice, docker takes the last."""
    given = sys.argv[2 : len(sys.argv) - len(command)]
    added = shlex.split(os.environ.get("STAND_IN_OPTIONS", ""))
    return [docker, "run", *given, *added, *command]


def in_namespace(
    options: dict[str, str], mounts: list[tuple[str, str, bool]], command: list[str]
) -> list[str]:
    """The command, or the stand-in's entry, with the mounts in place and as the user asked for."""
    entry = shlex.join(command) if command else os.environ["STAND_IN_ENTRY"]
    script = "\n".join([*bind(mounts), "set +e", f"exec {as_user(options, entry)}"])
    return ["unshare", "-m", "bash", "-ec", script]


def bind(mounts: list[tuple[str, str, bool]]) -> list[str]:
    """Shell lines that bind every mount at its target, outer folders first."""
    lines = []
    for source, target, read_only in sorted(mounts, key=lambda mount: mount[1].count("/")):
        lines.append(f"mkdir -p {shlex.quote(target)}")
        lines.append(f"mount --bind {shlex.quote(source)} {shlex.quote(target)}")
        if read_only:
            lines.append(f"mount -o remount,ro,bind {shlex.quote(target)}")
    return lines


def as_user(options: dict[str, str], entry: str) -> str:
    """The entry command under the uid:gid that the platform asked for."""
    command = f"bash -c {shlex.quote(entry)}"
    if "--user" in options:
        uid, gid = options["--user"].split(":")
        command = f"setpriv --reuid={uid} --regid={gid} --clear-groups {command}"
    return command


def watch(executor: "subprocess.Popen[bytes]", monitors: list[Path], log: Path) -> None:
    """Note each new content of monitor.txt until the executor ends."""
    seen = ""
    with log.open("a", encoding="utf-8") as file:
        running = True
        while running:
            running = executor.poll() is None
            for monitor in monitors:
                content = monitor.read_text(encoding="utf-8") if monitor.is_file() else ""
                if content != seen:
                    seen = content
                    file.write(json.dumps(content) + "\n")
            time.sleep(0.05 if running else 0)


if __name__ == "__main__":
    sys.exit(main())
