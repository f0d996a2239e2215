"""Reports of a run while it trains: the log line, metrics.json, TensorBoard, progress."""
