"""Words the whole engine shares: plain tensors in frozen dataclasses, and functions on boxes."""
