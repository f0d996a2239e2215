"""python -m verification.fuzz --inputs N --out FILE.jsonl: N hostile inputs for every parser.

Each parser runs in its own process, so that a hang (ended by the watchdog), a crash in C or a flood
of memory is reported for one parser. A line for each parser is added to the file; inputs
that did harm are kept beside it. Ends with status 1 if there are any.
"""

import argparse
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

from verification.fuzz.attack import attack, keep
from verification.fuzz.parsers import parsers, whole_runs
from verification.json_lines import append

_RUN_SHARE = 10  # a whole run takes ten times as long as a parser
_MEMORY_LIMIT = 8 << 30  # bytes of address space; what libraries reserve is below half of it


def main() -> int:
    """Attack every parser (or the named ones); 1 if any of them did something forbidden."""
    arguments = _arguments()
    if arguments.child:
        return _attack_one(arguments.child, arguments)
    names = arguments.parser or [parser.name for parser in (*parsers(), *whole_runs())]
    return max(_in_child(name, arguments) for name in names)


def _arguments() -> argparse.Namespace:
    options = argparse.ArgumentParser(prog="python -m verification.fuzz", description=__doc__)
    options.add_argument("--inputs", type=int, default=2000, help="for each parser")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--out", type=Path, default=Path("build/fuzz.jsonl"))
    options.add_argument("--parser", action="append", help="only this one; may be repeated")
    options.add_argument("--child", help=argparse.SUPPRESS)
    return options.parse_args()


def _in_child(name: str, arguments: argparse.Namespace) -> int:
    command = [sys.executable, "-m", "verification.fuzz", "--child", name]
    command += ["--inputs", str(arguments.inputs), "--seed", str(arguments.seed)]
    begin = time.monotonic()
    status = subprocess.run([*command, "--out", str(arguments.out)], check=False).returncode
    if status not in (0, 1):  # the child ended without a record
        print(f"{name}: the process ended with status {status}, stacks above", flush=True)
        seconds = round(time.monotonic() - begin, 1)
        line = {"parser": name, "inputs": 0, "unexplained": 1, "seconds": seconds}
        append(arguments.out, {**line, "status": status, "seed": arguments.seed})
    return int(status != 0)


def _attack_one(name: str, arguments: argparse.Namespace) -> int:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_LIMIT, _MEMORY_LIMIT))
    parser = next(parser for parser in (*parsers(), *whole_runs()) if parser.name == name)
    inputs = arguments.inputs // (_RUN_SHARE if parser in whole_runs() else 1)
    outcome = attack(parser, inputs=max(inputs, 1), seed=arguments.seed)
    append(
        arguments.out,
        {**outcome.record(), "seed": arguments.seed, "python": platform.python_version()},
    )
    print(f"{name}: {outcome.record()}", flush=True)
    kept = keep(outcome, arguments.out.parent / "fuzz-failures")
    for what, path in zip(outcome.failures, kept, strict=True):
        print(f"  {what}  <- {path}", flush=True)
    return int(bool(outcome.failures))


if __name__ == "__main__":
    sys.exit(main())
