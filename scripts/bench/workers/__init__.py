"""Programs that measure others, each run by `longplay.scripts.bench.peers` in an environment without longplay."""
