"""What makes a CPU fast: other ways to compute what plain layers and models stand for.

`layers` and `modeling` hold the algorithms as the papers write them and never import this room. The
predictor and the training put it in: `prepare` replaces plain modules by those of this room.
"""
