"""`detex prepare`: labelled images as people keep them -> a folder that a task mounts as /in.

`run.prepare` calls the steps: read the source (`app.exchange.sources`), choose classes, divide the
images between training and validation, write the folder.
"""
