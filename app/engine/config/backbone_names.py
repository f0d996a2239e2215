"""`MODEL.BACKBONE.NAME`: a body, alone or with a neck."""

from collections.abc import Iterable

_ALONE = "build_{}_backbone"


def combinations(bodies: Iterable[str], necks: Iterable[str]) -> dict[str, tuple[str, str | None]]:
    """Name -> its body and its neck, for every body alone and with every neck.

    necks  names with `{}` in place of the body
    """
    named = [(_ALONE, None), *((neck, neck) for neck in necks)]
    return {pattern.format(body): (body, neck) for body in bodies for pattern, neck in named}
