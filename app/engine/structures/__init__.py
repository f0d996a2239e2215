"""Types that the whole engine shares: frozen dataclasses of tensors, and functions on boxes."""
