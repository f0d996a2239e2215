"""What the platform's half (`executor`) and the detection half (`app`) both use.

It imports neither of them, and of third-party packages PyYAML alone.
"""
