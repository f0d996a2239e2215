"""The version of the product."""

VERSION = "0.1.0"
"""The same as in pyproject.toml and in the image's labels."""
