"""Augmentations draw random transforms for an image; transforms change its pixels, boxes, masks and
keypoints.
"""
