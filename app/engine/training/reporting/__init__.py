"""What a run tells while it goes on: the log line, metrics.json, TensorBoard, progress."""
