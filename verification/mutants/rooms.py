"""The parts of the product that are changed."""

PRODUCT = ("app", "common", "executor")

ROOMS = (
    "app/engine/layers",
    "app/engine/cpu",
    "app/engine/modeling",
    "app/engine/mining",
    "app/engine/evaluation",
    "executor",
    "common",
)


def room_of(file: str) -> str:
    """The room of a file; both are paths from the repository's root."""
    return next(room for room in ROOMS if file.startswith(f"{room}/"))
