"""From files to batches: image files, annotations, data sets, augmentation, loading.

formats/ reads annotation files as records; datasets/ reads whole data sets; smells/ finds signs of
mistakes in them. loading/ makes batches of samples from records, with images/ and transforms/.
Nothing here depends on a model.
"""
