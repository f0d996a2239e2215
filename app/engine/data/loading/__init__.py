"""From records to batches: which images are visited, what is made of each, and the worker processes
that make it.
"""
