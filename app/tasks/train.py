"""x"""


def run(env, progress): ...
