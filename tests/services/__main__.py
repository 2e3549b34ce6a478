"""`python -m tests.services redis|postgres|chromium`: prints where the programs are, or how to get them."""

import sys

from tests.services.find import MissingServerError, find_chromium, find_postgres, find_redis

FINDERS = {"redis": find_redis, "postgres": find_postgres, "chromium": find_chromium}


def main() -> None:
    try:
        print(FINDERS[sys.argv[1]]())
    except MissingServerError as missing:
        sys.exit(str(missing))


main()
