"""What a GPU is asked to do: kernel launches, and waits of the host, counted without a GPU."""
