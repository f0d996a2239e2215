"""How fast, beside detectron2 and torchvision; records and the page made of them."""
