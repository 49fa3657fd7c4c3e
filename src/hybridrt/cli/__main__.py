"""`python -m hybridrt.cli` is the same as `hybridrt`."""

from hybridrt.cli import main

main()
