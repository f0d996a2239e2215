"""Make copies of the repository that may be changed, and record which test runs which line."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from verification import REPOSITORY

FOLDER = REPOSITORY / "build" / "mutants"
PROCESSES = 2
TESTS = "not gpu and not slow and not network and not image"


def make_trees() -> list[Path]:
    """Copy the tree as it is now, once for each process."""
    trees = [FOLDER / f"tree{number}" for number in range(PROCESSES)]
    for tree in trees:
        shutil.rmtree(tree, ignore_errors=True)
        for name in _files():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(REPOSITORY / name, tree / name)
            shutil.copymode(REPOSITORY / name, tree / name)
        (tree / ".cache").symlink_to(REPOSITORY / ".cache")
        # Compared by content, not by time: a changed file may have the old one's time and size.
        compiled = ["--invalidation-mode", "checked-hash", "-q"]
        subprocess.run([sys.executable, "-m", "compileall", *compiled, "."], cwd=tree, check=True)
    return trees


def record_lines(tree: Path, *tests: str) -> Path:
    """Run the tests of a copy and record which lines they run; the folder of the record."""
    folder = FOLDER / f"lines-{_mark()}"
    if not folder.is_dir() or tests:
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pytest", "-q", "-n", str(PROCESSES), "--dist", "loadfile"]
        command += ["-m", TESTS, "-p", "verification.mutants.recorder", *tests]
        environ = {**os.environ, "MUTANTS_RECORD": str(folder), "OMP_NUM_THREADS": "1"}
        # Tests that measure time may fail while recorded; they are not used.
        subprocess.run(command, cwd=tree, env=environ, check=False)
    return folder


def _files() -> list[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True)
    names = listed.stdout.split("\0")
    return sorted(name for name in set(names) if name and (REPOSITORY / name).is_file())


def _mark() -> str:
    """A hash of the tree."""
    digest = hashlib.sha256()
    for name in _files():
        if name.endswith(".py"):
            digest.update(name.encode() + b"\0" + (REPOSITORY / name).read_bytes())
    return digest.hexdigest()[:12]
