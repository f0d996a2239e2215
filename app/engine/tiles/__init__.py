"""Detection in large photographs by tiles: cutting, and merging what is found across the seams."""
