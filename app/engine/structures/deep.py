"""The value range of an image with more than 8 bits, also for code that works without torch."""

from typing import NamedTuple


class Deep(NamedTuple):
    """The value range of one image with more than 8 bits, for messages.

    largest      the largest value
    white        the value that was converted to white
    num_outside  number of values below black or above white, which were clipped
    num_values   number of values in all channels
    is_decided   whether `white` was decided for a training set, or by a user
    """

    largest: float
    white: float
    num_outside: int
    num_values: int
    is_decided: bool

    @property
    def outside(self) -> str:
        """A sentence with the number of clipped values; "" if there are none."""
        if not self.num_outside:
            return ""
        return (
            f"{self.num_outside} of {self.num_values} values lie outside 0..{self.white:g} (the "
            f"largest is {self.largest:g}) and become black or white"
        )

    @property
    def looks_shallow(self) -> bool:
        """Whether so little of the range is used that another value of white is likely."""
        return 0 < self.largest < (self.white + 1) / 4
