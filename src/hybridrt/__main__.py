"""`python -m hybridrt` is the same as `hybridrt`."""

from hybridrt.cli import main

main()
