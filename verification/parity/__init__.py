"""Proof that this engine and detectron2 give the same numbers from the same weights.

No trained weights are needed: `weights` makes every tensor from its name and shape alone, so both
engines get bit-equal weights. `record` (run where detectron2 is installed) writes the answers of
detectron2 for generated or stored images; `check` runs this engine and compares.
"""
