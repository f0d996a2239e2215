"""The command `detex`, for users of a clone and of the image.

Each verb has a file that is imported only when it is used, so that `detex --help` is fast. No
other package imports this one.
"""

VERSION = "0.1.0"
"""The same as in pyproject.toml and in the image's labels."""
