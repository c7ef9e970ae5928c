"""Set before any test module imports torch: the tests run in several processes, one thread each."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
