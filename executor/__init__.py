"""The platform's contract: what a run is given under /in and what it must leave under /out.

Knows env.yaml, config.yaml, the index files, monitor.txt and the result files, and nothing of
images or models. docs/contract.md tells the same in prose.
"""
