"""Test-time augmentation: detections of several views of each image are merged."""

from app.engine.tta.augmented_detector import AugmentedDetector

__all__ = ["AugmentedDetector"]
