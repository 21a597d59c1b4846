"""`python -m bench`: the same as `amends bench`."""

import sys

from amends.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["bench"]
    main()
