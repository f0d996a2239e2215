"""Image files: one policy for what a file's pixels are, wherever they are used.

The content decides, never the name. EXIF orientation is applied, also to sizes. Animations give
their first frame, transparency is dropped (hidden pixels show), more than 8 bits become 8 as a
`Depth` says.
"""
