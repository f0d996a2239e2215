"""Building blocks of networks: convolution, norms, losses, RoI pooling, NMS."""
