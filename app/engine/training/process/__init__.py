"""One process among those that train together: its rank, random state and number format."""
