"""The public names, for type checkers."""

from stokehold._native import DecodeError, SlotsExhaustedError, WorkerError, __version__
from stokehold.adapters import Albumentations, TorchVision
from stokehold.array_files import Npy, Npz, Safetensors
from stokehold.arrow.hugging_face import HuggingFace
from stokehold.arrow.ipc import Arrow
from stokehold.audio import Audio, Waveform
from stokehold.batch import Batch, Ragged
from stokehold.coco import CocoDetection
from stokehold.cut import Cut
from stokehold.cuts import Buckets, Packing, TokenBudget
from stokehold.encoded import Images, Masks
from stokehold.image_folder import ImageFolder
from stokehold.images import decode_jpeg
from stokehold.lists import BoundingBoxes, KeyPoints, Lists
from stokehold.loader import FieldSpec, Loader, freeze_support
from stokehold.manifest import files, kinds
from stokehold.manifest.files import *
from stokehold.manifest.kinds import *
from stokehold.mds import Mds
from stokehold.mix import BatchTransform, CutMix, MixUp
from stokehold.multi_scale import MultiScale
from stokehold.orders import Curriculum, Explicit, Mixture, Order, Repeated, Weighted
from stokehold.parquet import Parquet
from stokehold.sources import Source, concat
from stokehold.table import Arrays, Table
from stokehold.tf_record import Feature, TFRecord
from stokehold.token_bin import TokenBin
from stokehold.transforms import (
    Transform,
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
from stokehold.user.streams import WorkerInfo, get_worker_info
from stokehold.web_dataset import Member, WebDataset
from stokehold.windows import Windows

__all__ = [
    "Albumentations",
    "Arrays",
    "Arrow",
    "Audio",
    "Batch",
    "BatchTransform",
    "BoundingBoxes",
    "Buckets",
    "CocoDetection",
    "Curriculum",
    "Cut",
    "CutMix",
    "DecodeError",
    "Explicit",
    "Feature",
    "FieldSpec",
    "HuggingFace",
    "ImageFolder",
    "Images",
    "KeyPoints",
    "Lists",
    "Loader",
    "Masks",
    "Mds",
    "Member",
    "MixUp",
    "Mixture",
    "MultiScale",
    "Npy",
    "Npz",
    "Order",
    "Packing",
    "Parquet",
    "Ragged",
    "Repeated",
    "Safetensors",
    "SlotsExhaustedError",
    "Source",
    "TFRecord",
    "Table",
    "TokenBin",
    "TokenBudget",
    "TorchVision",
    "Transform",
    "Waveform",
    "WebDataset",
    "Weighted",
    "Windows",
    "WorkerError",
    "WorkerInfo",
    "__version__",
    "concat",
    "decode_jpeg",
    "freeze_support",
    "get_worker_info",
]
__all__ += calls.__all__
__all__ += chats.__all__
__all__ += files.__all__
__all__ += color.__all__
__all__ += composed.__all__
__all__ += crops.__all__
__all__ += detection.__all__
__all__ += elastic.__all__
__all__ += elements.__all__
__all__ += geometry.__all__
__all__ += kinds.__all__
__all__ += places.__all__
__all__ += policies.__all__
__all__ += sound.__all__
__all__ += tokens.__all__
__all__ += views.__all__
