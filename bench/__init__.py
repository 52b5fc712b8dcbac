"""Performance measurements: the data generator and the benchmarks. See bench/README.md."""
