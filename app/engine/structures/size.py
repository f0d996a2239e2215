"""Sizes of images, for code that works without torch, too."""

Size = tuple[int, int]
"""(height, width) in pixels."""


def shortest_edge_size(size: Size, edge: int, max_size: int) -> Size:
    """Size whose short side is `edge`, unless the long one would exceed `max_size`; at least 1."""
    height, width = size
    scale = edge / min(height, width)
    new_height, new_width = (
        (float(edge), scale * width) if height < width else (scale * height, float(edge))
    )
    if max(new_height, new_width) > max_size:
        shrink = max_size / max(new_height, new_width)
        new_height, new_width = new_height * shrink, new_width * shrink
    return max(int(new_height + 0.5), 1), max(int(new_width + 0.5), 1)
