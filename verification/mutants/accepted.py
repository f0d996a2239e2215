"""Changes that no test notices, each with the reason why no test has to; judged one by one.

*Equivalent*: the change has no visible effect. *Accepted*: the effect is visible, but a test would
cost more than the mistake.
"""

ACCEPTED: dict[tuple[str, str, str], str] = {}
"""File, function and change, as in the records -> the reason."""
