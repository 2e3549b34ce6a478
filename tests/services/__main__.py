"""`python -m tests.services redis|postgres`: prints where the programs are, or how to get them."""

import sys

from tests.services.find import MissingServerError, find_postgres, find_redis

FINDERS = {"redis": find_redis, "postgres": find_postgres}


def main() -> None:
    try:
        print(FINDERS[sys.argv[1]]())
    except MissingServerError as missing:
        sys.exit(str(missing))


main()
