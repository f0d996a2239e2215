"""Hostile input for every parser: valid files with mutations, and plain noise.

`mutations` says how files are damaged, `parsers` which files there are and who reads them, and
`judge` what a parser may do with one: return, or raise one of our errors in a few plain lines.
"""
