"""Metrics of detections; `evaluate.evaluate` is the entry point."""
