"""What was met in an image with more than 8 bits, for code that works without torch, too."""

from typing import NamedTuple


class Deep(NamedTuple):
    """What was met in one image with more than 8 bits, for those who tell it.

    largest      value
    white        the value that became white
    num_outside  values below black or above white: they became black or white
    num_values   of all channels
    is_decided   whether `white` was decided for a training set, or by a user
    """

    largest: float
    white: float
    num_outside: int
    num_values: int
    is_decided: bool

    @property
    def outside(self) -> str:
        """How many values are lost, in words; "" where none is."""
        if not self.num_outside:
            return ""
        return (
            f"{self.num_outside} of {self.num_values} values lie outside 0..{self.white:g} (the "
            f"largest is {self.largest:g}) and become black or white"
        )

    @property
    def looks_shallow(self) -> bool:
        """So little of the range up to white is used that white may be another value."""
        return 0 < self.largest < (self.white + 1) / 4
