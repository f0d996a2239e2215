"""Test-time augmentation: every image is looked at several times, and there is one answer."""

from app.engine.tta.augmented_detector import AugmentedDetector

__all__ = ["AugmentedDetector"]
