"""How time and memory of whole runs grow with the length of the index; see `__main__`."""
