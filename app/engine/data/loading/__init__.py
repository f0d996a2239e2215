"""From records to batches: samplers choose images, mappers make their samples, worker processes run
the mappers.
"""
