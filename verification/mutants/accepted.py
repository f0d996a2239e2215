"""Changes that no test notices, each with the reason why none has to: looked at one by one.

*Equivalent*: nothing that can be seen is different. *Accepted*: it could be seen, but a test would
cost more than the mistake.
"""

ACCEPTED: dict[tuple[str, str, str], str] = {}
"""File, function and change, as the records say them -> the reason."""
