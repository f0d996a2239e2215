"""Text for messages: foreign text is made printable and cut to a length."""

MAX_LINE = 1000  # characters


def printable(text: str, *, instead: str = "?") -> str:
    """Put `text` on one line: line ends, control and undecodable characters become `instead`."""
    return "".join(char if char.isprintable() else instead for char in text)


def plain(text: str, *, instead: str = "?") -> str:
    """Make each line of `text` printable and cut it to `MAX_LINE`."""
    return "\n".join(printable(_cut(line), instead=instead) for line in text.split("\n"))


def shortened(text: str, max_length: int) -> str:
    """Return `text`, its end replaced by dots if it is longer than `max_length`."""
    return text if len(text) <= max_length else f"{text[: max_length - 3]}..."


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its type if it is empty."""
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _cut(line: str) -> str:
    return line if len(line) <= MAX_LINE else f"{line[: MAX_LINE - 20]} ... (shortened)"


def counted(number: int, what: str) -> str:
    """`1 image`, `2,000 images`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
