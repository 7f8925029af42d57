"""Writes the malformed files beside this script: each is a small JPEG with one thing wrong, which its name says.

    python tests/data/malformed/make.py

needs Pillow. What Pillow makes of a file is written beside it (`.ppm`), where Pillow reads it; the test
`malformed_files_are_read_as_pillow_reads_them` in `src/decode/tests.rs` asks for the same.
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
LONG = saved(subsampling="4:4:4")


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


def zero_code_of_one_bit() -> bytes:
    """A file whose codes say that each block differs from the one before as much as it can."""
    dc = b"\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0f"
    ac = b"\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
    tables = b"".join(b"\xff\xc4\0\x14" + kind + codes for kind, codes in ((b"\0", dc), (b"\x10", ac)))
    frame = b"\xff\xc0\0\x0b\x08\0\x14\0\x24\x01\x01\x11\0"
    scan = b"\xff\xda\0\x08\x01\x01\0\0\x3f\0"
    # 0, fifteen ones, 0: a difference of 32767 and the end of the block, for each of the fifteen blocks.
    bits = ("0" + "1" * 15 + "0") * 15
    data = int(bits + "1" * (-len(bits) % 8), 2).to_bytes(-(-len(bits) // 8), "big").replace(b"\xff", b"\xff\0")
    return BASE[:SOF] + frame + tables + scan + data + b"\xff\xd9"


def restart(number: int) -> int:
    """The place of a restart marker of a file with many."""
    return at(0xD0 + number, RESTARTS)


SOF, SOS, DHT, DQT, SCAN = at(0xC0), at(0xDA), at(0xC4), at(0xDB), at(0xDA) + 14
MIDDLE = (SCAN + len(LONG)) // 2
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
    "bytes_of_the_scan_missing": LONG[:MIDDLE] + LONG[MIDDLE + 5 :],
    "bytes_too_many_in_the_scan": LONG[:MIDDLE] + b"\x12\x34\x56\x78\x9a" * 2 + LONG[MIDDLE:],
    "codes_that_are_none_in_the_scan": patched(MIDDLE, b"\xff\x00" * 3, LONG),
    "coefficients_behind_the_last": patched(MIDDLE, bytes.fromhex("fdbfb7f6fedfdbfb7f6f"), LONG),
    "differences_that_overflow": zero_code_of_one_bit(),
    "end_marker_in_the_scan": LONG[:MIDDLE] + b"\xff\xd9",
    "end_marker_behind_stray_bytes": LONG[:-2] + b"\x01\x02\x03" + LONG[-2:],
    "stray_bytes_for_the_end_marker": LONG[:-2] + bytes(40),
    "segment_cut_for_the_end_marker": LONG[:-2] + b"\xff\xe1\x01",
    "frame_header_in_the_scan": patched(MIDDLE, b"\xff\xc0", LONG),
    "restart_marker_without_restarts": patched(MIDDLE, b"\xff\xd3", LONG),
    "unknown_marker_in_the_scan": patched(MIDDLE, b"\xff\x05", LONG),
    "unknown_marker_before_the_scan": BASE[:SOS] + b"\xff\xf3\0\x04\0\0" + BASE[SOS:],
    "comment_in_the_scan": patched(MIDDLE, b"\xff\xfe\0\x07", LONG),
    "cut_comment_in_the_scan": patched(MIDDLE, b"\xff\xfe\xf0\x07", LONG),
    "huffman_table_of_all_codes": patched(DHT + 5, b"\x00\x04" + bytes(14)),
    "second_scan": LONG[:-2] + LONG[at(0xDA, LONG) :],
    "second_start": BASE[:SOF] + b"\xff\xd8" + BASE[SOF:],
    "second_frame_header_behind_the_scan": BASE[:-2] + BASE[SOF : SOF + 19] + BASE[-2:],
    "comment_of_length_one": BASE[:DQT] + b"\xff\xfe\0\x01" + BASE[DQT:],
    "scan_of_other_coefficients": patched(SOS + 11, b"\x01\x05\x21"),
    "restart_repeated": RESTARTS[: restart(2)] + RESTARTS[restart(1) : restart(2)] + RESTARTS[restart(2) :],
    "restart_segment_missing": RESTARTS[: restart(1)] + RESTARTS[restart(2) :],
    "restart_segments_missing": RESTARTS[: restart(1)] + RESTARTS[restart(3) :],
    "restart_segments_missing_at_the_end": RESTARTS[: restart(4)] + b"\xff\xd9",
    "restart_far_away": patched(restart(1) + 1, b"\xd4", RESTARTS),
    "restart_of_an_earlier_one": patched(restart(2) + 1, b"\xd0", RESTARTS),
    "restart_made_an_unknown_marker": patched(restart(2) + 1, b"\x33", RESTARTS),
    "restart_made_a_comment": patched(restart(2) + 1, b"\xfe", RESTARTS),
    "restart_segment_too_long": RESTARTS[: restart(3)] + b"\xa5" * 9 + RESTARTS[restart(3) :],
    "restart_segment_too_short": RESTARTS[: restart(3) - 4] + RESTARTS[restart(3) :],
}

# What Pillow reads, and stokehold does not.
OTHER_KINDS = ["arithmetic"]


def pillows(data: bytes) -> bytes | None:
    """What Pillow reads, as a PPM, or None."""
    file = io.BytesIO()
    try:
        Image.open(io.BytesIO(data)).convert("RGB").save(file, "PPM")
    except (OSError, Image.DecompressionBombError):
        return None
    return file.getvalue()


if __name__ == "__main__":
    for name, data in FILES.items():
        path = Path(__file__).parent / f"{name}.jpg"
        path.write_bytes(data)
        path.with_suffix(".ppm").unlink(missing_ok=True)
        read = pillows(data)
        if read is not None and name not in OTHER_KINDS:
            path.with_suffix(".ppm").write_bytes(read)
