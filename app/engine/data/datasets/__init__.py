"""Data sets: readers of COCO, LVIS, PASCAL VOC and Cityscapes, a report on reading, and tools
to concatenate data sets and to renumber their classes.
"""
