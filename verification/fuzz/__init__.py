"""Hostile input for every parser: valid files with mutations, and plain noise.

`mutations` damages files, `parsers` lists the kinds of files and their readers, and `judge` decides
what a reader may do with a file: return, or raise one of our errors in a few plain lines.
"""
