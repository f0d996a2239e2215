"""python -m verification.parity [NAME ...] [--goldens DIR]: compare with detectron2's answers.

NAME is a config's name without folder and suffix; none means all. DIR holds either `<name>.npz`
files (the default, tests/parity) or a `golden/<name>/` tree with stored photographs.
"""

import argparse
import sys
from pathlib import Path

from verification import REPOSITORY
from verification.parity.check import check
from verification.parity.golden import Golden, load, load_folder

DEFAULT = REPOSITORY / "tests" / "parity"


def main() -> int:
    """Print one line for each comparison; 1 when any fails."""
    parser = argparse.ArgumentParser(prog="python -m verification.parity", description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--goldens", type=Path, default=DEFAULT)
    parser.add_argument(
        "--prepared", action="store_true", help="models as Predictor and the trainer run them"
    )
    arguments = parser.parse_args()
    wanted = arguments.names or names(arguments.goldens)
    if not wanted:
        parser.error(f"{arguments.goldens} has neither NAME.npz files nor a folder golden/")
    failed = 0
    for name in wanted:
        for comparison in check(read(arguments.goldens, name), prepared=arguments.prepared):
            failed += not comparison.passed
            sys.stdout.write(f"{comparison}\n")
            sys.stdout.flush()
    return int(failed > 0)


def names(root: Path) -> list[str]:
    """Configs recorded in `root`."""
    if (root / "golden").is_dir():
        return sorted(path.name for path in (root / "golden").iterdir())
    return sorted(path.stem for path in root.glob("*.npz"))


def read(root: Path, name: str) -> Golden:
    """The golden of one config."""
    if (root / "golden" / name).is_dir():
        return load_folder(root, name)
    return load(root / f"{name}.npz")


if __name__ == "__main__":
    sys.exit(main())
