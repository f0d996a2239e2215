"""Proofs that answers are right and that runs survive: none is needed to run the image.

Speed, size and start-up are measured in `benchmarks/`, which may import this package; neither
`executor` nor `app` imports either of them.
"""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
