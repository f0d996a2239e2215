"""The platform's contract: what a run is given under /in and what it must leave under /out.

It handles env.yaml, config.yaml, the index files, monitor.txt and the result files, but no images
or models. docs/contract.md describes the same contract in prose.
"""
