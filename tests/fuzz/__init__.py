"""Coverage-guided fuzzing of what strangers write: manifests, and the answers of endpoints.

`python -m tests.fuzz manifest --seconds 60` and `... decoder` run Atheris over the targets here, which are plain
functions of bytes: the tests call them too. Any exception out of a target is a finding, RecursionError included.
"""
