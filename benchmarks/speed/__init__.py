"""Speed beside detectron2's and torchvision's; the records, and the page made from them."""
