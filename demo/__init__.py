"""The whole job on real photographs: train, mine and infer through the platform's /in and /out."""
