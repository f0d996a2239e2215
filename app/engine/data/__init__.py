"""From files to batches: image files, annotations, data sets, augmentation, loading.

formats/ reads annotations as records, datasets/ whole data sets; smells/ tells which of them cannot
be meant so. loading/ makes batches of samples of them, with images/ and transforms/. Nothing here
knows a model.
"""
