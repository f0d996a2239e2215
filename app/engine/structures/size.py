"""Sizes of images, also for code that works without torch."""

Size = tuple[int, int]
"""(height, width) in pixels."""


def shortest_edge_size(size: Size, edge: int, max_size: int) -> Size:
    """Size with a short side of `edge`, or less if the long side would exceed `max_size`."""
    height, width = size
    scale = edge / min(height, width)
    new_height, new_width = (
        (float(edge), scale * width) if height < width else (scale * height, float(edge))
    )
    if max(new_height, new_width) > max_size:
        shrink = max_size / max(new_height, new_width)
        new_height, new_width = new_height * shrink, new_width * shrink
    return max(int(new_height + 0.5), 1), max(int(new_width + 0.5), 1)


def padded_size(sizes: list[Size], size_divisibility: int = 0) -> Size:
    """Common size of a batch: the maximum of each side, rounded up to `size_divisibility`."""
    height, width = max(h for h, _ in sizes), max(w for _, w in sizes)
    if size_divisibility > 1:
        height = -(-height // size_divisibility) * size_divisibility
        width = -(-width // size_divisibility) * size_divisibility
    return height, width
