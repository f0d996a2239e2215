"""The loop over iterations, the hooks called after each, and the trainer that builds both."""
