"""Building blocks without a config: convolution, norms, losses, pooling, suppression."""
