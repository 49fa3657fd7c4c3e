"""The demonstration: real files travel through Go and Rust workers, and nothing gets lost."""
