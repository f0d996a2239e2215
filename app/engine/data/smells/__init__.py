"""Smells: signs that a data set does not say what its user means, though every file can be read.

Each has a statistic, a threshold and a sentence with numbers and a remedy. Those that stop refuse
the training unless the user accepts them by name; the others warn.
"""
