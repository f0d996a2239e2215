"""Faster implementations of layers and models for the CPU.

`layers` and `modeling` have the algorithms as in the papers and never import this package. For
prediction and training on a CPU, `prepare` replaces their modules by those of this package.
"""
