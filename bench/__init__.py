"""How fast it is: the data generator and the benchmarks. See bench/README.md."""
