"""From files to batches: images, annotation formats, augmentation, sampling, loading.

formats/, coco_dataset, lvis_dataset, panoptic_dataset, voc_dataset, cityscapes_dataset -> records;
catalog finds those by detectron2's names. mapper turns a record into a sample, loader makes batches
of them in worker_pool's processes. Nothing here knows a model.
"""
