"""The command behind `sh scripts/torture`: reads what to do, does it, prints the table."""

import argparse
import sys

if __name__ == "__main__":
    from tests.torture.command import main

    sys.exit(main(argparse.ArgumentParser(prog="sh scripts/torture")))
