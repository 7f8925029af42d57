"""A small writer of TFRecord files of `tf.train.Example`, independent of what reads them."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeAlias

Values: TypeAlias = Sequence[bytes] | Sequence[float] | Sequence[int]

_POLYNOMIAL: Final = 0x82F63B78
_TABLE: Final = [0] * 256
for _byte in range(256):
    _rest = _byte
    for _ in range(8):
        _rest = _rest >> 1 ^ (_POLYNOMIAL if _rest & 1 else 0)
    _TABLE[_byte] = _rest


def masked_crc(data: bytes) -> bytes:
    """The checksum that stands behind a length or a record: CRC-32C, rotated and moved."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def framed(data: bytes) -> bytes:
    """A record as it stands in a file."""
    length = struct.pack("<Q", len(data))
    return length + masked_crc(length) + data + masked_crc(data)


def varint(number: int) -> bytes:
    rest, found = number & (1 << 64) - 1, bytearray()
    while rest > 0x7F:
        found.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*found, rest])


def message(number: int, content: bytes) -> bytes:
    """A field of bytes, or of a message."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def feature(values: Values, *, packed: bool = True) -> bytes:
    """A `tf.train.Feature` of what the first value is; of integers where there is none."""
    if values and isinstance(values[0], bytes):
        return message(1, b"".join(message(1, value) for value in values if isinstance(value, bytes)))
    is_float = bool(values) and isinstance(values[0], float)
    each = [struct.pack("<f", value) if is_float else varint(int(value)) for value in values]
    tag = varint(1 << 3 | (5 if is_float else 0))
    return message(2 if is_float else 3, message(1, b"".join(each)) if packed else b"".join(tag + one for one in each))


def example(features: Mapping[str, Values | bytes]) -> bytes:
    """A `tf.train.Example`; a feature that is bytes is taken as it is."""
    entries = (
        message(1, key.encode()) + message(2, values if isinstance(values, bytes) else feature(values))
        for key, values in features.items()
    )
    return message(1, b"".join(message(1, entry) for entry in entries))


def file_of(examples: Iterable[Mapping[str, Values | bytes]]) -> bytes:
    return b"".join(framed(example(features)) for features in examples)
