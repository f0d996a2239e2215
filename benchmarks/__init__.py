"""Measurements and proofs, run by hand: none of them is needed to run the image."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
