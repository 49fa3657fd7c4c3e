"""The attacks whose results make up docs/evidence.md."""
