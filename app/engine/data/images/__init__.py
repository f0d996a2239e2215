"""Image files, decoded in the same way everywhere.

The format is recognised by the content, not by the name. EXIF orientation is applied, also to
sizes. Of animations the first frame is read. Transparency is dropped, so that hidden pixels show.
Values of more than 8 bits become 8 bits by a `Depth`.
"""
