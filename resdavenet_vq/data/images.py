"""Image files to the square uint8 crops that the image network gets.

The crops are bit for bit those of torchvision's PIL transforms; scaling and normalization
happen in the model. Shapes: images are Pillow's, crops (3, crop, crop) uint8. What is read, and as which pixels:
docs/images.md.
"""

from __future__ import annotations

import io
import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from resdavenet_vq import files
from resdavenet_vq.data import file_kind
from resdavenet_vq.errors import InputError

if TYPE_CHECKING:
    from resdavenet_vq.config import ImageModel

FORMATS = ("JPEG", "PNG")
MAX_PIXELS = 89_478_485  # larger images count as decompression bombs; Pillow's own limit, at which it only warns

MAX_BYTES = 1 << 26
"""Largest image file: 64 MiB."""

MAX_SCANS = 100
"""Most scans of a JPEG. Progressive files have about ten; each may cost the time of a whole image in a few bytes."""

MAX_ASPECT = 50  # largest ratio of the sides: a longer image would be a bomb once resized

_START_OF_SCAN = b"\xff\xda"  # a marker of JPEG; within a scan FF is followed by 00 or by the number of a restart

WHITE = (255, 255, 255)
"""What lies behind transparent pixels, as behind a picture on a page."""

NOT_TURNED = "image that its Exif data would turn"
"""What is noticed of an image that a viewer shows turned or mirrored: the network sees the pixels as they are stored."""

JPEG_QUALITY = 95
"""Of images that are stored smaller than they are."""

CROP_SCALE = (0.08, 1.0)
CROP_RATIO = (3 / 4, 4 / 3)


def read(path: Path) -> bytes:
    """The bytes of an image file, whether they decode or not. Raises InputError naming the file."""
    with files.open_regular(path) as file, files.reading(path):
        size = os.fstat(file.fileno()).st_size
        if size > MAX_BYTES:
            raise InputError(f"{path}: has more than {MAX_BYTES} bytes, too many for an image")
        return file.read(size)  # to ask for MAX_BYTES would cost as much time as decoding does


class Displayed(NamedTuple):
    """An image file for a page."""

    data: bytes
    suffix: str
    """png or jpg."""
    width: int
    height: int


def decode(data: bytes) -> Image.Image:
    """The RGB image in the bytes of a JPEG or PNG file, whatever its name; grey, palette and CMYK are converted.

    Samples of 16 bits give their upper 8, transparent pixels lie on white, and the orientation in Exif data and color
    profiles are ignored, as the published pipeline does. Raises InputError with the fault alone: no image, truncated,
    a decompression bomb (by its bytes, pixels or scans), or far too long and thin.
    """
    with _decoding(data):
        image = _open(data)
        _load(image)
        return as_rgb(image)


def check(data: bytes) -> str:
    """What is to be noticed of an image, NOT_TURNED or nothing. Raises InputError exactly where `decode` does.

    It takes half the time: a JPEG is decoded at an eighth of its size, for which all its coefficients are read but one
    of 64 pixels is computed.
    """
    with _decoding(data):
        image = _open(data)
        image.draft(None, (math.ceil(image.width / 8), math.ceil(image.height / 8)))
        _load(image)
        return NOT_TURNED if _would_turn(image) else ""


def reduced(data: bytes, side: int) -> bytes:
    """A JPEG file of an image with its shorter side reduced to `side` pixels; the file itself where that is not larger.

    Raises InputError as `decode` does.
    """
    with _decoding(data):
        if min(_open(data).size) <= side:
            return data
    jpeg = io.BytesIO()
    _resize_shorter_side(decode(data), side).save(jpeg, "JPEG", quality=JPEG_QUALITY)
    return jpeg.getvalue()


def displayed(data: bytes) -> Displayed:
    """The file with which a browser shows what `decode` gives: these bytes, or a PNG where it would show them otherwise.

    Color profiles apart, which browsers apply. Raises InputError as `decode` does; a JPEG that is shown as it is is
    not decoded.
    """
    with _decoding(data):
        image = _open(data)
        width, height = image.size
        if image.format != "PNG":
            shown_so = image.mode in {"RGB", "L"}
        else:
            _load(image)  # transparency may be stated behind the pixels
            shown_so = image.mode in {"RGB", "L", "P", "1"} and "transparency" not in image.info
        if shown_so and not _would_turn(image) and not (image.format == "PNG" and getattr(image, "is_animated", False)):
            return Displayed(data, "png" if image.format == "PNG" else "jpg", width, height)
    png = io.BytesIO()
    decode(data).save(png, "PNG")
    return Displayed(png.getvalue(), "png", width, height)


def _open(data: bytes) -> ImageFile.ImageFile:
    if len(data) > MAX_BYTES:
        raise InputError(f"has {len(data)} bytes, more than {MAX_BYTES}: a decompression bomb")
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise InputError(f"has {width} x {height} pixels, more than {MAX_PIXELS}: a decompression bomb")
    if image.format != "PNG" and (scans := data.count(_START_OF_SCAN)) > MAX_SCANS:
        raise InputError(f"has {scans} scans, more than {MAX_SCANS}: a decompression bomb")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise InputError(f"has {width} x {height} pixels, one side more than {MAX_ASPECT} times the other")
    return image


def _no_image(head: bytes) -> str:
    """What is wrong with a file that begins with these bytes and that the decoders do not take for theirs."""
    for kind, magic in (("JPEG", b"\xff\xd8\xff"), ("PNG", b"\x89PNG\r\n\x1a\n")):
        if head.startswith(magic):
            return f"is a {kind} image whose header cannot be read: damaged, or of a rare kind; save it again"
    return file_kind.fault(head, "image", Path()) or f"is no JPEG or PNG image; it begins with {head[:12]!r}"


def _load(image: ImageFile.ImageFile) -> None:
    """Loads the pixels, and makes the transparent color of a PNG one of those that Pillow makes of its samples."""
    samples = image.tile[0].args if image.format == "PNG" and image.tile else None
    image.load()
    color = image.info.get("transparency")
    if isinstance(color, tuple) and samples == "RGB;16B":
        raise InputError("has a transparent color of 16 bits a channel; save it with an alpha channel, or without")
    if isinstance(color, tuple):
        image.info["transparency"] = tuple(value % 256 for value in color)
    elif image.mode == "L" and isinstance(color, int):
        bits = int(samples[2:]) if samples in {"L;2", "L;4"} else 8
        image.info["transparency"] = color % 2**bits * (255 // (2**bits - 1))


def as_rgb(image: Image.Image) -> Image.Image:
    """An image of Pillow in RGB; where it is transparent, white lies behind it."""
    color = image.info.get("transparency")
    if image.mode == "I;16":
        pixels = np.asarray(image)
        rgb = Image.fromarray((pixels >> 8).astype(np.uint8)).convert("RGB")
        if color is not None:
            rgb.paste(WHITE, mask=Image.fromarray(pixels == color))
        return rgb
    if color is None and "A" not in image.getbands():
        return image if image.mode == "RGB" else image.convert("RGB")
    visible = image.convert("RGBA")
    rgb = Image.new("RGB", image.size, WHITE)
    rgb.paste(visible, mask=visible)
    return rgb


def _would_turn(image: Image.Image) -> bool:
    """Whether a viewer turns or mirrors the image, as the camera was held."""
    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif", b""))
        return exif.get(ExifTags.Base.Orientation, 1) in range(2, 9)
    except Exception:  # noqa: BLE001 - a damaged note of the camera turns nothing and may raise anything
        return False


@contextmanager
def _decoding(data: bytes) -> Iterator[None]:
    if not data:
        raise InputError("is empty (0 bytes)")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the size is checked here
            yield
    except UnidentifiedImageError:
        raise InputError(_no_image(data[: file_kind.HEAD])) from None
    except Image.DecompressionBombError:
        raise InputError(f"has more than {MAX_PIXELS} pixels: a decompression bomb") from None
    except InputError:
        raise
    except Exception as e:  # noqa: BLE001 - decoders raise anything on damaged bytes
        raise InputError(f"cannot be decoded ({e or type(e).__name__})") from None


def evaluation_crop(image: Image.Image, settings: ImageModel) -> np.ndarray:
    """The center of the image after its shorter side was resized to `settings.resize`."""
    image = _resize_shorter_side(image, settings.resize)
    return _crop(image, settings.crop, *(round((side - settings.crop) / 2) for side in image.size))


def training_crop(image: Image.Image, settings: ImageModel, random: np.random.Generator) -> np.ndarray:
    """A random part: resized to the crop, or, with `training_crop: same_scale`, of its size after the resize."""
    if settings.training_crop == "resized":
        left, top, width, height = random_part(*image.size, random)
        part = image.crop((left, top, left + width, top + height))
        return _pixels(part.resize((settings.crop, settings.crop), Image.Resampling.BILINEAR))
    image = _resize_shorter_side(image, settings.resize)
    return _crop(image, settings.crop, *(int(random.integers(side - settings.crop + 1)) for side in image.size))


def random_part(width: int, height: int, random: np.random.Generator) -> tuple[int, int, int, int]:
    """(left, top, width, height) as torchvision's RandomResizedCrop draws it, from our own random numbers.

    The part has 8 % to 100 % of the area and an aspect ratio from 3/4 to 4/3; when ten draws do not
    fit, it is the largest centered part with an admissible ratio.
    """
    for _ in range(10):
        area = width * height * random.uniform(*CROP_SCALE)
        ratio = math.exp(random.uniform(math.log(CROP_RATIO[0]), math.log(CROP_RATIO[1])))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            top, left = int(random.integers(height - h + 1)), int(random.integers(width - w + 1))
            return left, top, w, h
    w, h = width, height
    if width / height < CROP_RATIO[0]:
        h = round(width / CROP_RATIO[0])
    elif width / height > CROP_RATIO[1]:
        w = round(height * CROP_RATIO[1])
    return (width - w) // 2, (height - h) // 2, w, h


def _resize_shorter_side(image: Image.Image, side: int) -> Image.Image:
    width, height = image.size
    size = (side, int(side * height / width)) if width <= height else (int(side * width / height), side)
    return image if image.size == size else image.resize(size, Image.Resampling.BILINEAR)


def _crop(image: Image.Image, side: int, left: int, top: int) -> np.ndarray:
    return _pixels(image.crop((left, top, left + side, top + side)))


def _pixels(image: Image.Image) -> np.ndarray:
    """A view (3, height, width) uint8."""
    return np.asarray(image).transpose(2, 0, 1)
