"""Decoders alone, in one thread: simplejpeg and Pillow."""

import io

import decode
import harness


def main() -> None:
    """Measures one variant."""
    job = harness.job()
    if job.variant == "pil":
        import numpy as np
        from PIL import Image

        decode.run(job, lambda data: np.asarray(Image.open(io.BytesIO(data)).convert("RGB")), ("pillow",))
    else:
        import simplejpeg

        decode.run(job, simplejpeg.decode_jpeg, ("simplejpeg",))


if __name__ == "__main__":
    main()
