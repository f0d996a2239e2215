"""`common` has no dependencies but the standard library and PyYAML."""

import subprocess
import sys
from pathlib import Path

import common

MODULES = sorted(path.stem for path in Path(common.__file__).parent.glob("[a-z]*.py"))
CODE = """
import importlib, sys
before = set(sys.modules)
for name in sys.argv[1:]:
    importlib.import_module(f"common.{name}")
tops = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*sorted(tops - sys.stdlib_module_names))
"""


def test_nothing_else_is_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE, *MODULES], capture_output=True, text=True, check=True
    )
    # Cython's are made by PyYAML's extension.
    foreign = {name for name in done.stdout.split() if "cython" not in name}
    assert foreign <= {"common", "yaml", "_yaml", "__mp_main__"}
