"""Text for messages: what strangers wrote, on one line and not too long."""

MAX_LINE = 1000  # characters


def printable(text: str, *, instead: str = "?") -> str:
    """`text` on one line: line ends, control and undecodable characters become `instead`."""
    return "".join(char if char.isprintable() else instead for char in text)


def plain(text: str, *, instead: str = "?") -> str:
    """Each line of `text` printable and cut to `MAX_LINE`: messages quote what strangers wrote."""
    return "\n".join(printable(_cut(line), instead=instead) for line in text.split("\n"))


def shortened(text: str, max_length: int) -> str:
    """`text`, its end replaced by dots where it is longer."""
    return text if len(text) <= max_length else f"{text[: max_length - 3]}..."


def first_line(error: BaseException) -> str:
    """The first line of what an error says; the name of its type where it says nothing."""
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _cut(line: str) -> str:
    return line if len(line) <= MAX_LINE else f"{line[: MAX_LINE - 20]} ... (shortened)"
