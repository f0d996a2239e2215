"""A trained model made easy to use: images or files in, detections out."""

from app.engine.predictor.predictor import PRECISIONS, Predictor

__all__ = ["PRECISIONS", "Predictor"]
