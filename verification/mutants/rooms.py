"""Which parts of the product are changed."""

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
    """The room of a file, both by their paths from the repository's root on."""
    return next(room for room in ROOMS if file.startswith(f"{room}/"))
