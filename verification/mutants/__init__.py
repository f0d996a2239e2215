"""Check that the tests notice small mistakes: change code in one place, and a test must fail."""
