"""Transforms, under torchvision's names and with its defaults.

A transform here is a description: the work is done by the workers, in Rust. Of images, all but `RandomErasing`,
`Normalize`, `ToDtype` and `ToLayout` take pixels, (H, W, C) or (H, W), and stand before those four. Images have 1 to 4
channels; with 2 or 4, the last is alpha. Geometry and `GaussianBlur` treat each channel alike and take ``uint8``,
``uint16`` and ``float32``; what changes colours takes ``uint8`` and leaves alpha as it is. Crops, flips and paddings
that follow each other cost one pass over the pixels, or none. Pixels are those of torchvision's v2 kernels for
``uint8`` tensors; resizing is Pillow's, of each channel by itself; grey is that of Pillow's mode "L".

Masks, boxes and keypoints of a `Table` take the geometry of their image, with the same draws, and only what changes no
geometry of their own: `ToDtype` for masks; `ClampBoundingBoxes`, `SanitizeBoundingBoxes` and
`ConvertBoundingBoxFormat` for boxes; `ClampKeyPoints` for keypoints.

`Spectrogram`, `MelSpectrogram`, `AmplitudeToDB`, `TimeMasking` and `FrequencyMasking` take sound, a field of `Audio`,
under torchaudio's names.

`RandomApply`, `RandomChoice` and `RandomOrder` are made of others; `Compose` is a list of them.

`Tokenize` takes texts, and no images; `ChatTemplate` says how it reads conversations.

A function of your own stands anywhere among them (`Call`), and one that gets whole samples between those of fields
(`Map`).

    >>> transforms = [RandomResizedCrop(224), RandomHorizontalFlip(), Normalize(IMAGENET_MEAN, IMAGENET_STD)]
"""

from stokehold.transforms import (
    calls,
    chats,
    color,
    composed,
    crops,
    detection,
    elastic,
    elements,
    geometry,
    places,
    policies,
    sound,
    tokens,
    views,
)
from stokehold.transforms.base import Transform
from stokehold.transforms.calls import *
from stokehold.transforms.chats import *
from stokehold.transforms.color import *
from stokehold.transforms.composed import *
from stokehold.transforms.crops import *
from stokehold.transforms.detection import *
from stokehold.transforms.elastic import *
from stokehold.transforms.elements import *
from stokehold.transforms.geometry import *
from stokehold.transforms.places import *
from stokehold.transforms.policies import *
from stokehold.transforms.sound import *
from stokehold.transforms.tokens import *
from stokehold.transforms.views import *

__all__ = ["Transform"]
__all__ += calls.__all__
__all__ += chats.__all__
__all__ += color.__all__
__all__ += composed.__all__
__all__ += crops.__all__
__all__ += detection.__all__
__all__ += elastic.__all__
__all__ += elements.__all__
__all__ += geometry.__all__
__all__ += places.__all__
__all__ += policies.__all__
__all__ += sound.__all__
__all__ += tokens.__all__
__all__ += views.__all__
