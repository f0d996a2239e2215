"""Proofs that results are right and that runs survive; the image does not need them.

Speed, size and start-up are measured in `benchmarks/`, which may import this package; neither
`executor` nor `app` imports either of them.
"""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
