"""Data sets: COCO's, LVIS', PASCAL's and Cityscapes' as records with their classes, the account of
what was read of them, and several of them in the numbers of one.
"""
