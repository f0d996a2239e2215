"""`MODEL.BACKBONE.NAME`: a body, alone or with a neck."""

from collections.abc import Iterable

from app.engine.config.declared import BODIES, NECKS

_ALONE = "build_{}_backbone"


def combinations(bodies: Iterable[str], necks: Iterable[str]) -> dict[str, tuple[str, str | None]]:
    """Name -> its body and its neck, for every body alone and with every neck.

    necks  names with `{}` in place of the body
    """
    named = [(_ALONE, None), *((neck, neck) for neck in necks)]
    return {pattern.format(body): (body, neck) for body in bodies for pattern, neck in named}


def parts(name: str) -> tuple[str, str | None]:
    """Body and neck of a name that has been checked."""
    return combinations(BODIES, NECKS)[name]


def has_neck(name: str) -> bool:
    """Whether a name that has been checked means a body with a neck."""
    return parts(name)[1] is not None


def is_faster_exported(name: str) -> bool:
    """Whether ONNX Runtime computes it faster than torch on a CPU; False for an unknown name.

    Depthwise convolutions are (MobileNetV2: 1.3 times); wide 3x3 convolutions go faster in torch,
    by Winograd's tiles (RetinaNet R50: 1.5 times).
    """
    body, _ = combinations(BODIES, NECKS).get(name, ("", None))
    return body in BODIES and BODIES[body].faster_exported
