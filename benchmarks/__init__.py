"""Measurements of speed, accuracy and start-up, run by hand; the image does not need them."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
