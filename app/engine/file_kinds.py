"""Signatures of files that users give by mistake as images or as weights."""

from typing import NamedTuple


class Signature(NamedTuple):
    """The bytes that all files of a kind hold at an offset."""

    offset: int
    content: bytes


GZIP = Signature(0, b"\x1f\x8b")
SEVEN_ZIP = Signature(0, b"7z\xbc\xaf\x27\x1c")
RAR = Signature(0, b"Rar!")
TAR = Signature(257, b"ustar")
HDF5 = Signature(0, b"\x89HDF")
NUMPY = Signature(0, b"\x93NUMPY")
JPEG = Signature(0, b"\xff\xd8\xff")
PNG = Signature(0, b"\x89PNG")
GIF = Signature(0, b"GIF8")
PDF = Signature(0, b"%PDF")
TIFF = (Signature(0, b"II*\0"), Signature(0, b"MM\0*"))
APPLE_DOUBLE = Signature(0, b"\0\5\x16\7")
GIT_LFS = Signature(0, b"version https://git-lfs")
