"""Count kernel launches and waits of the host without a GPU."""
