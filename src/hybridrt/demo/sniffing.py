"""Guess the type of a file from its first bytes, by the rules of the WHATWG MIME Sniffing Standard.

Written apart from the Go worker's http.DetectContentType on purpose: the plain pass has to come to
the same types by its own way.
"""

from __future__ import annotations

SNIFF_BYTES = 512
EMPTY_TYPE = "inode/x-empty"
FALLBACK_TYPE = "application/octet-stream"
TEXT_TYPE = "text/plain"
WHITESPACE = b"\t\n\x0c\r "
TAGS = (
    b"<!DOCTYPE HTML", b"<HTML", b"<HEAD", b"<SCRIPT", b"<IFRAME", b"<H1", b"<DIV", b"<FONT",
    b"<TABLE", b"<A", b"<STYLE", b"<TITLE", b"<B", b"<BODY", b"<BR", b"<P", b"<!--",
)  # fmt: skip
TAG_ENDS = b" >"
# Bytes that no text holds: control characters without tab, line ends, form feed and escape.
BINARY_BYTES = frozenset((*range(9), 0x0B, *range(0x0E, 0x1B), *range(0x1C, 0x20)))
# At the start of a file; a None stands for any byte.
BEFORE_VIDEO: tuple[tuple[tuple[bytes | None, ...], str], ...] = (
    ((b"%PDF-",), "application/pdf"),
    ((b"%!PS-Adobe-",), "application/postscript"),
    ((b"\xfe\xff", None, None), TEXT_TYPE),
    ((b"\xff\xfe", None, None), TEXT_TYPE),
    ((b"\xef\xbb\xbf", None), TEXT_TYPE),
    ((b"\x00\x00\x01\x00",), "image/x-icon"),
    ((b"\x00\x00\x02\x00",), "image/x-icon"),
    ((b"BM",), "image/bmp"),
    ((b"GIF87a",), "image/gif"),
    ((b"GIF89a",), "image/gif"),
    ((b"RIFF", None, None, None, None, b"WEBPVP"), "image/webp"),
    ((b"\x89PNG\r\n\x1a\n",), "image/png"),
    ((b"\xff\xd8\xff",), "image/jpeg"),
    ((b"FORM", None, None, None, None, b"AIFF"), "audio/aiff"),
    ((b"ID3",), "audio/mpeg"),
    ((b"OggS\x00",), "application/ogg"),
    ((b"MThd\x00\x00\x00\x06",), "audio/midi"),
    ((b"RIFF", None, None, None, None, b"AVI "), "video/avi"),
    ((b"RIFF", None, None, None, None, b"WAVE"), "audio/wave"),
)
AFTER_VIDEO: tuple[tuple[tuple[bytes | None, ...], str], ...] = (
    ((b"\x1a\x45\xdf\xa3",), "video/webm"),
    ((*[None] * 34, b"LP"), "application/vnd.ms-fontobject"),
    ((b"\x00\x01\x00\x00",), "font/ttf"),
    ((b"OTTO",), "font/otf"),
    ((b"ttcf",), "font/collection"),
    ((b"wOFF",), "font/woff"),
    ((b"wOF2",), "font/woff2"),
    ((b"\x1f\x8b\x08",), "application/x-gzip"),
    ((b"PK\x03\x04",), "application/zip"),
    ((b"Rar!\x1a\x07\x00",), "application/x-rar-compressed"),
    ((b"Rar!\x1a\x07\x01\x00",), "application/x-rar-compressed"),
    ((b"\x00asm",), "application/wasm"),
)
BOX_HEADER_BYTES = 12  # length, "ftyp", major brand
MINOR_VERSION_AT = 12


def content_type(head: bytes) -> str:
    """Return the type of a file that begins with `head`, up to SNIFF_BYTES of it."""
    head = head[:SNIFF_BYTES]
    if not head:
        return EMPTY_TYPE
    text = head.lstrip(WHITESPACE)
    if _is_html(text):
        return "text/html"
    if text.startswith(b"<?xml"):
        return "text/xml"
    found = _by_signature(head, BEFORE_VIDEO)
    if found is None and _is_mp4(head):
        found = "video/mp4"
    found = found or _by_signature(head, AFTER_VIDEO)
    return found or (FALLBACK_TYPE if BINARY_BYTES.intersection(text) else TEXT_TYPE)


def _is_html(text: bytes) -> bool:
    for tag in TAGS:
        after = text[len(tag) : len(tag) + 1]
        if after and after in TAG_ENDS and text[: len(tag)].upper() == tag:
            return True
    return False


def _by_signature(
    head: bytes, signatures: tuple[tuple[tuple[bytes | None, ...], str], ...]
) -> str | None:
    for pattern, kind in signatures:
        place = 0
        for part in pattern:
            if part is None:
                place += 1
            elif head.startswith(part, place):
                place += len(part)
            else:
                break
        else:
            if place <= len(head):
                return kind
    return None


def _is_mp4(head: bytes) -> bool:
    """Look for an mp4 brand in the first box; its minor version is no brand."""
    if len(head) < BOX_HEADER_BYTES or head[4:8] != b"ftyp":
        return False
    box = int.from_bytes(head[:4], "big")
    if box > len(head) or box % 4:
        return False
    places = (place for place in range(8, box, 4) if place != MINOR_VERSION_AT)
    return any(head[place : place + 3] == b"mp4" for place in places)
