"""Metrics and pictures of detections; `evaluate.evaluate` is the entry point."""
