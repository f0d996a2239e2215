"""Write docs/mutants.md: the outcomes of the changes, and why some may stay unnoticed."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from verification.json_lines import Record
from verification.mutants.accepted import ACCEPTED
from verification.mutants.judge import KILLED, SURVIVED, TIMEOUT, UNREACHED
from verification.mutants.rooms import room_of

HEAD = """# Mutants

Written by `python -m verification.mutants --report > docs/mutants.md`; do not edit.

`make mutants` changes the product in one place at a time: another operator, number, condition or
argument, or a statement less. The tests that run the changed line follow, and one of them must
fail. Which places are changed is drawn by a seed. *Reasons*: changes that no test noticed and that
are listed below, with why that is right. *Killed* is the share of the others that a test noticed;
a change that makes a test run beyond its time limit counts. The records are those of one tree:
a line that has moved or gone since stands here where it was.

Tests were written for changes that had been unnoticed, and those changes were judged again. So a
share tells what the tests notice now; of changes that nobody has looked at they notice fewer.
"""

BEFORE = {
    1: "Before tests were written for what this seed had shown, 166 of the 178 changes without a "
    "reason were noticed: 93.3 % (2026-11-30).",
    2: "Before tests were written for what this seed had shown, 34 of the 42 changes without a "
    "reason were noticed: 81.0 % (2026-11-30).",
    3: "Before tests were written for what this seed had shown, 86 of the 92 changes without a "
    "reason were noticed: 93.5 % (2026-11-30).",
}
"""What the records of a seed no longer show, because they were judged again."""


def page(records: Sequence[Record]) -> str:
    """The document."""
    lines = [HEAD]
    for seed in sorted({record["seed"] for record in records}):
        chosen = [record for record in records if record["seed"] == seed]
        lines += [f"## Seed {seed}: {len(chosen)} changes\n"]
        lines += [f"{BEFORE[seed]}\n"] if seed in BEFORE else []
        lines += [*_rooms(chosen), ""]
    lines += ["## Unnoticed for a reason\n", *_unnoticed(records, with_reason=True), ""]
    if unknown := [*_unnoticed(records, with_reason=False)][2:]:
        lines += ["## Unnoticed\n", "| where | change | |", "|---|---|---|", *unknown, ""]
    return "\n".join(lines)


def _rooms(records: Sequence[Record]) -> Iterator[str]:
    yield "| room | changes | noticed | beyond the limit | unnoticed | with reasons | killed |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    rooms = sorted({room_of(record["file"]) for record in records})
    for room in rooms:
        yield _row(f"`{room}`", [r for r in records if room_of(r["file"]) == room])
    yield _row("**all**", records)


def _row(name: str, records: Sequence[Record]) -> str:
    count = Counter(record["outcome"] for record in records)
    unnoticed = count[SURVIVED] + count[UNREACHED]
    reasons = sum(reason_of(record) != "" for record in records)
    share = killed_share(records)
    cells = [
        len(records),
        count[KILLED],
        count[TIMEOUT],
        unnoticed,
        reasons,
        f"{100 * share:.1f} %",
    ]
    return f"| {name} | {' | '.join(map(str, cells))} |"


def killed_share(records: Sequence[Record]) -> float:
    """The share of the changes without a reason that a test notices; 1 where there are none."""
    judged = [record for record in records if not reason_of(record)]
    noticed = sum(record["outcome"] in (KILLED, TIMEOUT) for record in judged)
    return noticed / len(judged) if judged else 1.0


def reason_of(record: Record) -> str:
    """Why a change need not be noticed; "" if it was noticed, or if no reason is given."""
    if record["outcome"] in (KILLED, TIMEOUT):
        return ""
    return ACCEPTED.get((record["file"], record["function"], record["change"]), "")


def _unnoticed(records: Iterable[Record], *, with_reason: bool) -> Iterator[str]:
    yield "| where | change | reason |"
    yield "|---|---|---|"
    seen = set()
    for record in records:
        reason = reason_of(record)
        unnoticed = record["outcome"] in (SURVIVED, UNREACHED)
        if unnoticed and bool(reason) == with_reason and record["key"] not in seen:
            seen.add(record["key"])
            change = record["change"].replace("|", "\\|")
            where = f"`{record['file']}:{record['line']}` {record['function']}"
            yield f"| {where} | `{change}` | {reason or record['outcome']} |"
