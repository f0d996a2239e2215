"""Whether the tests notice small mistakes: code is changed in one place, and a test must fail."""
