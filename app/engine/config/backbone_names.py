"""The values of `MODEL.BACKBONE.NAME`: a body, with or without a neck."""

from collections.abc import Iterable

from app.engine.config.declared import BODIES, NECKS

_ALONE = "build_{}_backbone"


def combinations(bodies: Iterable[str], necks: Iterable[str]) -> dict[str, tuple[str, str | None]]:
    """Return name -> (body, neck or None), for every body without and with every neck.

    necks  names with `{}` as the place of the body
    """
    named = [(_ALONE, None), *((neck, neck) for neck in necks)]
    return {pattern.format(body): (body, neck) for body in bodies for pattern, neck in named}


def parts(name: str) -> tuple[str, str | None]:
    """Return body and neck of a valid name."""
    return combinations(BODIES, NECKS)[name]


def has_neck(name: str) -> bool:
    """Whether a valid name means a body with a neck."""
    return parts(name)[1] is not None


def is_faster_exported(name: str) -> bool:
    """Whether ONNX Runtime is faster than torch on a CPU; False for an unknown name.

    It is for depthwise convolutions (MobileNetV2: 1.3 times as fast). torch is for wide 3x3
    convolutions, with the Winograd algorithm (RetinaNet R50: 1.5 times as fast).
    """
    body, _ = combinations(BODIES, NECKS).get(name, ("", None))
    return body in BODIES and BODIES[body].faster_exported
