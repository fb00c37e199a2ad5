"""python -m annealtrain."""

import sys

from annealtrain.cli import main

sys.exit(main())
