"""The command `detex`, for users of a clone and of the image.

Each verb has a file that is imported only when it is used, so that `detex --help` is fast. No
other package imports this one.
"""
