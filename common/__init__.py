"""Code that the platform's half (`executor`) and the detection half (`app`) share.

It imports neither of them, and PyYAML is its only third-party package.
"""
