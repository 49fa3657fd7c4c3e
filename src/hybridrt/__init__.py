"""Background jobs on one machine in Go, Rust and Python, with no broker."""
