"""Augmentation: what is drawn at random for an image, and what it does to pixels, boxes, masks and
keypoints.
"""
