"""`python -m jobs.cli`: the same as `imagemill`."""

from jobs.cli import main

main()
