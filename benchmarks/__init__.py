"""Measurements and proofs, run by hand: none of them is needed to run the image."""
