"""Writes the malformed files beside this script: each is a small JPEG with one thing wrong, which its name says.

    python tests/data/malformed/make.py

needs Pillow. The test `malformed_files_are_errors_or_lenient` in `src/decode/tests.rs` says what becomes of each.
"""

import io
from pathlib import Path

import numpy as np
from PIL import Image

y, x = np.mgrid[0:20, 0:36]
PIXELS = np.stack([x * 7, y * 12, (x * y) % 256], -1).astype("uint8")


def saved(**options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "JPEG", quality=85, **options)
    return file.getvalue()


BASE = saved(subsampling="4:2:0")
RESTARTS = saved(subsampling="4:4:4", restart_marker_blocks=2)


def at(marker: int, data: bytes = BASE) -> int:
    """The place of a marker."""
    return data.index(bytes([0xFF, marker]))


def patched(place: int, new: bytes, data: bytes = BASE) -> bytes:
    return data[:place] + new + data[place + len(new) :]


def without(marker: int) -> bytes:
    """All segments of one kind left out."""
    data = BASE
    while bytes([0xFF, marker]) in data[: at(0xDA, data)]:
        place = at(marker, data)
        data = data[:place] + data[place + 2 + int.from_bytes(data[place + 2 : place + 4]) :]
    return data


SOF, SOS, DHT, DQT, SCAN = at(0xC0), at(0xDA), at(0xC4), at(0xDB), at(0xDA) + 14
FILES = {
    "ends_after_start": BASE[:2],
    "ends_in_a_segment": BASE[: DQT + 20],
    "ends_before_the_scan": BASE[:SOS],
    "ends_in_the_scan": BASE[: SCAN + 30],
    "ends_without_end_marker": BASE[:-2],
    "end_marker_before_the_pixels": BASE[:SOS] + b"\xff\xd9",
    "no_frame_header": without(0xC0),
    "no_huffman_tables": without(0xC4),
    "no_quantisation_tables": without(0xDB),
    "two_frame_headers": BASE[:SOF] + BASE[SOF : SOF + 19] + BASE[SOF:],
    "frame_without_width": patched(SOF + 7, b"\0\0"),
    "frame_without_height": patched(SOF + 5, b"\0\0"),
    "frame_of_60000_squared": patched(SOF + 5, b"\xea\x60\xea\x60"),
    "frame_of_16_bits": patched(SOF + 4, b"\x10"),
    "frame_with_a_wrong_count": patched(SOF + 9, b"\x04"),
    "frame_with_two_components": BASE[:SOF]
    + b"\xff\xc0\0\x0e\x08\0\x14\0\x24\x02"
    + BASE[SOF + 10 : SOF + 16]
    + BASE[SOF + 19 :],
    "sampling_of_zero": patched(SOF + 11, b"\x02"),
    "sampling_of_five": patched(SOF + 11, b"\x52"),
    "sampling_of_three_to_two": patched(SOF + 11, b"\x33\x00\x02\x22"),
    "sampling_of_too_many_blocks": patched(SOF + 11, b"\x44\x00\x02\x22"),
    "quantisation_table_five": patched(SOF + 12, b"\x05"),
    "quantisation_table_too_short": BASE[:DQT] + b"\xff\xdb\0\x20" + bytes(30) + BASE[DQT:],
    "quantisation_table_with_number_9": patched(DQT + 4, b"\x09"),
    "huffman_table_with_too_many_codes": patched(DHT + 5, b"\x03"),
    "huffman_table_longer_than_its_segment": patched(DHT + 20, b"\xff"),
    "huffman_table_of_class_7": patched(DHT + 4, b"\x70"),
    "huffman_table_with_number_9": patched(DHT + 4, b"\x09"),
    "huffman_table_with_an_impossible_difference": patched(DHT + 21, b"\xff"),
    "segment_of_length_zero": BASE[:DQT] + b"\xff\xee\0\0" + BASE[DQT:],
    "scan_of_an_unknown_component": patched(SOS + 5, b"\x09"),
    "scan_with_a_component_twice": patched(SOS + 7, b"\x01"),
    "scan_with_huffman_table_9": patched(SOS + 6, b"\x99"),
    "scan_of_no_components": patched(SOS + 4, b"\x00"),
    "scan_of_ones": patched(SCAN, b"\xff\x00" * 20),
    "scan_of_zeros": patched(SCAN, bytes(40)),
    "scan_that_begins_with_a_restart": patched(SCAN, b"\xff\xd0"),
    "restart_out_of_order": patched(at(0xD1, RESTARTS), b"\xff\xd5", RESTARTS),
    "restart_missing": RESTARTS[: at(0xD1, RESTARTS)] + RESTARTS[at(0xD1, RESTARTS) + 2 :],
    "restart_interval_of_a_wrong_length": BASE[:SOS] + b"\xff\xdd\0\x03\x01" + BASE[SOS:],
    "fill_bytes_before_markers": BASE[:DQT] + b"\xff" * 9 + BASE[DQT:],
    "stray_bytes_before_markers": BASE[:DQT] + b"\0\x01\x02" + BASE[DQT:],
    "bytes_after_the_end": BASE + bytes(50) + b"\xff\xd8\xff",
    "lossless": patched(SOF + 1, b"\xc3"),
    "arithmetic": patched(SOF + 1, b"\xc9"),
}

if __name__ == "__main__":
    for name, data in FILES.items():
        (Path(__file__).parent / f"{name}.jpg").write_bytes(data)
