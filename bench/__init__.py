"""Benchmarks of hybridrt and, in the same run, of its peers. See README.md."""
