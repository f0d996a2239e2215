"""Exchange of data sets with other tools: their layouts are read here, and detections written.

This package uses the engine, and it knows nothing of tasks and of the platform's protocol.
"""
