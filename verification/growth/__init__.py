"""Time and memory of whole runs against the length of the index; see `__main__`."""
