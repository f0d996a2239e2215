"""COCO's 80 object classes with their ids, for models whose files have no class names."""

_NAMES = """
person|bicycle|car|motorcycle|airplane|bus|train|truck|boat|traffic light
fire hydrant||stop sign|parking meter|bench|bird|cat|dog|horse|sheep
cow|elephant|bear|zebra|giraffe||backpack|umbrella||
handbag|tie|suitcase|frisbee|skis|snowboard|sports ball|kite|baseball bat|baseball glove
skateboard|surfboard|tennis racket|bottle||wine glass|cup|fork|knife|spoon
bowl|banana|apple|sandwich|orange|broccoli|carrot|hot dog|pizza|donut
cake|chair|couch|potted plant|bed||dining table|||toilet
|tv|laptop|mouse|remote|keyboard|cell phone|microwave|oven|toaster
sink|refrigerator||book|clock|vase|scissors|teddy bear|hair drier|toothbrush
"""

COCO_CLASSES: dict[int, str] = {
    number: name
    for number, name in enumerate(_NAMES.strip().replace("\n", "|").split("|"), start=1)
    if name
}
"""Id -> name, sorted by id; ten of the numbers up to 90 are not used."""
