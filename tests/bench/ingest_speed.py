"""Rows a second and peak memory of ingest.read on a file: python tests/bench/ingest_speed.py FILE"""

import resource
import sys
import time

from alloop.ingest import Counts, inspect, read

source = sys.argv[1]
columns, counts = inspect(source), Counts()
start = time.perf_counter()
for _ in read(source, columns, counts=counts):
    pass
seconds = time.perf_counter() - start
peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1 << 20)
print(f"{counts.rows} rows, {counts.rows / seconds:,.0f} rows/s, peak {peak_mb:.0f} MB")
