"""Smells: signs that a data set's annotations are wrong although every file can be read.

Each smell has a statistic, a threshold and a sentence with numbers and a remedy. Some stop the
training unless the user accepts them by name; the others are warnings.
"""
