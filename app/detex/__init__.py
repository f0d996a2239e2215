"""The command `detex`: what people type, in a clone and in the image.

One file for each verb, imported when it is asked for: `detex --help` must come at once. Nothing
imports this package.
"""

VERSION = "0.1.0"
"""As in pyproject.toml and in the image's labels."""
