"""Types by content, as the demonstration's plain pass sees them."""

import pytest

from hybridrt.demo.sniffing import SNIFF_BYTES, content_type


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"", "inode/x-empty"),
        (b"import os\n", "text/plain"),
        ("größer\n".encode(), "text/plain"),
        (b"\x7fELF\x02\x01\x01", "application/octet-stream"),
        (b"  <html >", "text/html"),
        (b"<!DOCTYPE html>", "text/html"),
        (b"<hr>", "text/plain"),
        (b"<p", "text/plain"),  # no end of the tag in sight
        (b'\n<?xml version="1.0"?>', "text/xml"),
        (b"%PDF-1.7", "application/pdf"),
        (b"\xef\xbb\xbfx", "text/plain"),
        (b"\xef\xbb\xbf", "text/plain"),
        (b"\xfe\xff\x00", "application/octet-stream"),  # too short for the signature
        (b"\x89PNG\r\n\x1a\n....", "image/png"),
        (b"RIFF\x10\x00\x00\x00WAVEfmt ", "audio/wave"),
        (b"RIFF\x10\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"\x00\x00\x00\x10ftypmp42\x00\x00\x00\x00", "video/mp4"),
        (b"\x00\x00\x00\x10ftypisom\x00\x00\x00\x00mp41", "application/octet-stream"),
        (b"\x00\x00\x00\x14ftypisom\x00\x00\x00\x00mp41", "video/mp4"),
        (b"\x1f\x8b\x08\x00", "application/x-gzip"),
        (b"PK\x03\x04", "application/zip"),
        (b"\x00asm\x01", "application/wasm"),
        (b"\x00" * 34 + b"LP", "application/vnd.ms-fontobject"),
        (b"a" * SNIFF_BYTES + b"\x00", "text/plain"),  # only the first bytes count
    ],
)
def test_each_signature(head: bytes, kind: str) -> None:
    assert content_type(head) == kind
