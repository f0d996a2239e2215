"""Whether exported files find the same in every runtime and in every precision."""
