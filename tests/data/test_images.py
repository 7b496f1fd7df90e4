import io
import os
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from oracles.data import encoded, noise, png_header, repeated_scans
from PIL import ExifTags, Image
from torchvision.transforms import v2

from resdavenet_vq.config import ImageModel
from resdavenet_vq.data import images
from resdavenet_vq.errors import InputError

PUBLISHED = ImageModel(architecture="resnet50")
SMALL = ImageModel(architecture="thin_resnet", crop=64, resize=72, training_crop="same_scale")


def pixels(image):
    return np.asarray(image).transpose(2, 0, 1)


@pytest.mark.parametrize("size", [(256, 256), (300, 256), (256, 341), (500, 375), (31, 47), (640, 99)])
@pytest.mark.parametrize("settings", [PUBLISHED, SMALL])
def test_evaluation_crop_is_torchvisions(size, settings):
    image = noise(*size)
    expected = v2.CenterCrop(settings.crop)(v2.Resize(settings.resize)(image))
    np.testing.assert_array_equal(images.evaluation_crop(image, settings), pixels(expected))


@pytest.mark.parametrize("size", [(256, 256), (300, 200), (31, 470), (640, 99)])
def test_training_crop_is_torchvisions_of_the_same_box(size):
    image = noise(*size)
    for seed in range(5):
        left, top, width, height = images.random_part(*size, np.random.default_rng(seed))
        expected = v2.functional.resized_crop(image, top, left, height, width, [224, 224])
        np.testing.assert_array_equal(
            images.training_crop(image, PUBLISHED, np.random.default_rng(seed)), pixels(expected)
        )


def test_same_scale_crop_is_a_part_of_the_resized_image():
    image = noise(100, 150)
    resized = pixels(v2.Resize(72)(image))
    assert resized.shape == (3, 108, 72)
    crop = images.training_crop(image, SMALL, np.random.default_rng(3))
    windows = np.lib.stride_tricks.sliding_window_view(resized, crop.shape)[0]
    assert (windows == crop).all(axis=(2, 3, 4)).any()


def test_random_part_follows_torchvisions_distribution():
    random, drawn = np.random.default_rng(0), []
    for _ in range(4000):
        left, top, width, height = images.random_part(300, 200, random)
        assert 0 <= left <= left + width <= 300
        assert 0 <= top <= top + height <= 200
        drawn.append((left, top, width, height))
    image = noise(300, 200)
    theirs = [v2.RandomResizedCrop(224).make_params([image]) for _ in range(4000)]
    theirs = np.array([(p["left"], p["top"], p["width"], p["height"]) for p in theirs])
    ours = np.array(drawn)
    np.testing.assert_allclose(ours.mean(0), theirs.mean(0), atol=5)
    np.testing.assert_allclose(ours.std(0), theirs.std(0), atol=5)


@pytest.mark.parametrize(("width", "height", "expected"), [(1000, 20, (486, 0, 27, 20)), (20, 1000, (0, 486, 20, 27))])
def test_a_thin_image_gives_its_center(width, height, expected):
    assert images.random_part(width, height, np.random.default_rng(0)) == expected


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_of(samples, bits, color, *before):
    """A PNG file of samples (height, width, channels), made by hand; `color` is the PNG's color type."""
    height, width, channels = samples.shape
    digits = samples.reshape(height, width * channels, 1) >> np.arange(bits - 1, -1, -1) & 1
    rows = np.packbits(digits.reshape(height, -1).astype(np.uint8), axis=1)
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    chunks = (chunk(b"IHDR", header), *before, chunk(b"IDAT", data), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGB_ALPHA: 4}
KINDS = [(GREY, bits) for bits in (1, 2, 4, 8, 16)] + [(PALETTE, bits) for bits in (1, 2, 4, 8)]
KINDS += [(color, bits) for color in (RGB, GREY_ALPHA, RGB_ALPHA) for bits in (8, 16)]


def png_and_its_meaning(color, bits, *, keyed=False):
    """A PNG of random samples, and what it shows on white, (height, width, 3) by PNG's definition.

    With `keyed` a color, or some of the palette, is transparent.
    """
    random = np.random.default_rng(bits)
    samples = random.integers(0, 1 << bits, (9, 16, CHANNELS[color]))
    samples[:, :8] &= -1 << bits - 1  # some of them twice
    before, opacity = [], np.full((9, 16), 255.0)
    if color == PALETTE:
        palette = random.integers(0, 256, (1 << bits, 3))
        before.append(chunk(b"PLTE", palette.astype(np.uint8).tobytes()))
        values = palette[samples[:, :, 0]]
        if keyed:
            shares = np.array([0, 128])
            before.append(chunk(b"tRNS", shares.astype(np.uint8).tobytes()))
            opacity = np.append(shares, np.full(1 << bits, 255))[samples[:, :, 0]]
    else:
        eight = samples >> 8 if bits == 16 else samples * 255 // ((1 << bits) - 1)
        values = eight[:, :, :3] if color in (RGB, RGB_ALPHA) else np.repeat(eight[:, :, :1], 3, axis=2)
        if color in (GREY_ALPHA, RGB_ALPHA):
            opacity = eight[:, :, -1]
        if keyed:
            before.append(chunk(b"tRNS", samples[0, 0].astype(">u2").tobytes()))
            opacity = np.where((samples == samples[0, 0]).all(axis=2), 0, 255)
    opacity = opacity[:, :, None] / 255
    return png_of(samples, bits, color, *before), values * opacity + 255 * (1 - opacity)


@pytest.mark.parametrize(("color", "bits"), KINDS)
def test_every_png_has_the_values_of_its_definition(color, bits):
    data, expected = png_and_its_meaning(color, bits)
    assert images.check(data) == ""
    actual = np.asarray(images.decode(data)).astype(float)
    if color in (GREY_ALPHA, RGB_ALPHA):
        np.testing.assert_allclose(actual, expected, atol=0.51)
    else:
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize(("color", "bits"), [kind for kind in KINDS if kind[0] in (GREY, RGB, PALETTE)])
def test_white_lies_behind_what_is_transparent(color, bits):
    data, expected = png_and_its_meaning(color, bits, keyed=True)
    if (color, bits) == (RGB, 16):
        for read in (images.check, images.decode):
            with pytest.raises(InputError, match="transparent color of 16 bits a channel; save it with an alpha chan"):
                read(data)
        return
    images.check(data)
    np.testing.assert_allclose(np.asarray(images.decode(data)), expected, atol=0.51)


def test_a_grey_ramp_of_16_bits_keeps_its_256_levels():
    ramp = np.arange(1 << 12).reshape(64, 64, 1) << 4
    actual = np.asarray(images.decode(png_of(ramp, 16, GREY)))
    np.testing.assert_array_equal(actual, np.repeat(ramp >> 8, 3, axis=2))
    assert len(np.unique(actual)) == 256


def inks(width, height):
    """Four smooth planes (height, width, 4), 0 to 255."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    return np.round(255 * np.stack([x, y, 1 - x, 1 - y * x / 2], axis=2)).astype(np.uint8)


def jpeg_of(planes):
    """A JPEG file of four planes as Adobe writes them: what it stores of an ink is 255 less its amount."""
    return encoded(Image.fromarray(255 - planes, "CMYK"), quality=100)


def test_inks_of_adobe():
    """CMYK, and YCCK, whose first three planes are the luminance and chrominance of the inks."""
    stored = inks(48, 32)
    white = jpeg_of(np.full_like(stored, 255))
    assert (np.asarray(images.decode(white)) == 255).all(), "no ink is white"
    cmyk = jpeg_of(stored)
    np.testing.assert_allclose(images.decode(cmyk), stored[:, :, :3] * (stored[:, :, 3:] / 255), atol=4)
    adobe = cmyk.index(b"Adobe")
    assert cmyk[adobe + 11] == 0, "its transform is none"
    stored[:, :, 1:3] = stored[:, :, 1:3] // 4 + 96  # little chroma, so that no value is clipped
    stored[:, :, 0] = stored[:, :, 0] // 2 + 64
    cmyk = jpeg_of(stored)
    ycck = cmyk[: adobe + 11] + b"\2" + cmyk[adobe + 12 :]
    luminance, blue, red = (stored[:, :, i].astype(float) - (128 if i else 0) for i in range(3))
    matrix = [luminance + 1.402 * red, luminance - 0.344136 * blue - 0.714136 * red, luminance + 1.772 * blue]
    expected = (255 - np.stack(matrix, axis=2)) * (stored[:, :, 3:] / 255)
    np.testing.assert_allclose(images.decode(ycck), expected, atol=4)
    for data in (white, cmyk, ycck):
        images.check(data)


def with_exif(image, kind, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return encoded(image, kind, exif=exif)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_are_those_that_are_stored_however_the_camera_was_held(kind, orientation):
    image = noise(30, 20)
    data = with_exif(image, kind, orientation)
    assert images.decode(data).tobytes() == images.decode(encoded(image, kind)).tobytes()
    assert images.check(data) == (images.NOT_TURNED if orientation > 1 else "")


def test_damaged_exif_data_turn_nothing():
    image = noise(30, 20)
    for exif in (b"Exif\0\0", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03"):
        assert images.check(encoded(image, exif=exif)) == ""


SHOWN_OTHERWISE = {
    "CMYK": jpeg_of(inks(30, 20)),
    "16 bits": png_and_its_meaning(GREY, 16)[0],
    "grey and alpha": png_and_its_meaning(GREY_ALPHA, 8)[0],
    "alpha": png_and_its_meaning(RGB_ALPHA, 8)[0],
    "alpha of 16 bits": png_and_its_meaning(RGB_ALPHA, 16)[0],
    "a transparent color": png_and_its_meaning(RGB, 8, keyed=True)[0],
    "a transparent palette": png_and_its_meaning(PALETTE, 8, keyed=True)[0],
    "turned JPEG": with_exif(noise(30, 20), "JPEG", 6),
    "turned PNG": with_exif(noise(30, 20), "PNG", 3),
    "animated": encoded(noise(40, 30), "PNG", save_all=True, append_images=[noise(40, 30, 1)]),
}


@pytest.mark.parametrize("data", SHOWN_OTHERWISE.values(), ids=SHOWN_OTHERWISE)
def test_what_a_browser_shows_otherwise_becomes_a_plain_png(data):
    shown = images.displayed(data)
    assert shown.suffix == "png"
    with Image.open(io.BytesIO(shown.data)) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (shown.width, shown.height))
        assert not image.info
        assert image.tobytes() == images.decode(data).tobytes()


def test_plain_images_are_displayed_as_they_are():
    image = noise(30, 20)
    several = encoded(image, "MPO", save_all=True, append_images=[image])
    jpegs = [encoded(image), encoded(image.convert("L")), encoded(image, progressive=True), several]
    pngs = [encoded(image.convert(mode), "PNG") for mode in ("RGB", "L", "P", "1")]
    for suffix, data in [("jpg", data) for data in jpegs] + [("png", data) for data in pngs]:
        assert images.displayed(data) == (data, suffix, 30, 20)


def test_what_is_no_image_is_not_displayed():
    for data in (b"", b"<html>", encoded(noise(90, 90), "PNG")[:1000], SHOWN_OTHERWISE["CMYK"][:500]):
        with pytest.raises(InputError):
            images.displayed(data)


REFUSED = [("GIF", "GIF"), ("WEBP", "WebP"), ("TIFF", "TIFF"), ("BMP", "BMP"), ("AVIF", "HEIF or AVIF")]
REFUSED += [("JPEG2000", "JPEG 2000")]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (
            b"<!DOCTYPE html><html>",
            "is not an image but a web page (HTML), as a download leaves that failed; download it",
        ),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
            "is not an image but a pointer of Git LFS instead",
        ),
        (b"\0\0\0\x1cftypisom\0\0\2\0", "is not an image but an MPEG-4 or QuickTime file"),
        (bytes(range(128, 160)), r"is no JPEG or PNG image; it begins with b'\x80\x81"),
        (b"\0\0\0\x1cftypheic\0\0\0\0", "is a HEIF or AVIF image, which is not read; convert it to PNG or JPEG"),
        *(
            (encoded(noise(9, 9), kind), f"is a {name} image, which is not read; convert it to PNG or")
            for kind, name in REFUSED
        ),
        (
            encoded(noise(9, 9)).replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c"),
            "is a JPEG image whose header cannot",
        ),
        (encoded(noise(90, 90), progressive=True)[:3000], "cannot be decoded (image file is truncated"),
        (encoded(noise(90, 90), "PNG", interlace=1)[:9000], "cannot be decoded (image file is truncated"),
        (encoded(noise(90, 90))[:1000], "cannot be decoded"),
        (encoded(noise(90, 90), "PNG")[:1000], "cannot be decoded"),
        (png_header(9500, 9500), "has 9500 x 9500 pixels, more than 89478485: a decompression bomb"),
        (png_header(60000, 60000), "a decompression bomb"),
        (png_header(2000, 4), "one side more than 50 times the other"),
    ],
)
def test_what_is_no_image_is_refused(data, reason):
    for read in (images.decode, images.check):
        with pytest.raises(InputError) as caught:
            read(data)
        assert reason in str(caught.value)


def verdict(function, data):
    try:
        function(data)
    except InputError as e:
        return str(e)
    return "sound"


def spoilt(data, random):
    """An image file cut off, with flipped bits, a stretch of other bytes, or a stretch missing."""
    start, length = int(random.integers(len(data))), int(random.integers(1, 40))
    match random.integers(4):
        case 0:
            return data[:start]
        case 1:
            return data[:start] + bytes([data[start] ^ (1 << int(random.integers(8)))]) + data[start + 1 :]
        case 2:
            return data[:start] + random.bytes(length) + data[start + length :]
        case _:
            return data[:start] + data[start + length :]


def test_the_quick_check_refuses_what_decoding_refuses_and_nothing_else():
    random = np.random.default_rng(0)
    verdicts = []
    for size in ((1, 1), (9, 70), (40, 40), (133, 90)):
        image = noise(*size)
        whole = [encoded(image.convert(mode)) for mode in ("RGB", "L", "CMYK")]
        whole += [encoded(image.convert("P"), "PNG"), encoded(image, "PNG")]
        ways = [{"progressive": True}, {"subsampling": 0}, {"quality": 30}, {"restart_marker_rows": 1}]
        whole += [encoded(image, **way) for way in ways]
        whole += [encoded(image.convert(mode), "PNG") for mode in ("LA", "RGBA", "1")]
        whole.append(encoded(image, "MPO", save_all=True, append_images=[image]))
        if size == (9, 70):
            whole += SHOWN_OTHERWISE.values()
        for data in whole:
            assert verdict(images.check, data) == "sound"
            for _ in range(40):
                damaged = spoilt(data, random)
                verdicts.append(verdict(images.decode, damaged))
                assert verdict(images.check, damaged) == verdicts[-1]
    sound = verdicts.count("sound") / len(verdicts)
    assert 0.2 < sound < 0.8, "there must be some of each"
    bomb = png_header(30000, 30000)
    assert verdict(images.check, bomb) == verdict(images.decode, bomb) != "sound"


def test_files_that_are_no_images_are_refused_before_they_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "device.jpg").symlink_to("/dev/zero")
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(images.MAX_BYTES + 1)
    for name, reason in (("pipe", "is no regular file"), ("device", "is no regular file"), ("huge", "too many for an")):
        with pytest.raises(InputError, match=reason):
            images.read(tmp_path / f"{name}.jpg")


def png(width, height, data, *before, interlaced=False):
    """A grey PNG of 8 bits of these compressed rows, after other chunks."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, interlaced)
    chunks = (chunk(b"IHDR", header), *before, chunk(b"IDAT", data), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def gigabytes(n, unit=1 << 20):
    """A zlib stream of n GiB of zeros in a few MB: one block again and again."""
    compressor = zlib.compressobj(9)
    first = compressor.compress(bytes(unit)) + compressor.flush(zlib.Z_FULL_FLUSH)
    again = compressor.compress(bytes(unit)) + compressor.flush(zlib.Z_FULL_FLUSH)
    return first + again * ((n << 30) // unit)


def interlaced(pixels):
    """A PNG whose rows come in the seven passes of Adam7."""
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    parts = (pixels[top::down, left::right] for top, left, down, right in passes)
    rows = b"".join(b"\0" + row.tobytes() for part in parts if part.size for row in part)
    return png(pixels.shape[1], pixels.shape[0], zlib.compress(rows), interlaced=True)


def test_png_that_grows_is_refused_or_read_in_little_memory_and_time(tmp_path):
    """Texts and profiles of 2 GiB, a million frames, rows of 2 GiB for 64 pixels; sizes that do not fit the data."""
    grows, rows = gigabytes(2), zlib.compress((b"\0" + bytes(8)) * 8)
    text = b"Comment\0\0"
    frame = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 8, 8, 0, 0, 1, 1, 0, 0))
    frames = b"".join(chunk(b"fcTL", bytes(26)) + chunk(b"fdAT", bytes(4) + rows) for _ in range(20_000))
    files = {
        "zTXt": png(8, 8, rows, chunk(b"zTXt", text + grows)),
        "iTXt": png(8, 8, rows, chunk(b"iTXt", b"Comment\0\1\0\0\0" + grows)),
        "iCCP": png(8, 8, rows, chunk(b"iCCP", text + grows)),
        "many zTXt": png(8, 8, rows, *[chunk(b"zTXt", text + zlib.compress(bytes(1_000_000)))] * 500),
        "APNG": png(8, 8, rows, chunk(b"acTL", struct.pack(">II", 1_000_000, 0)), frame)[:-12]
        + frames
        + chunk(b"IEND", b""),
        "rows": png(8, 8, grows),
        "interlaced rows": png(8, 8, grows, interlaced=True),
        "size": png(9000, 9000, rows),
        "interlaced size": png(9000, 9000, rows, interlaced=True),
        "largest size": png(2**31 - 1, 2**31 - 1, rows, interlaced=True),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    code = (
        "import sys, time; from pathlib import Path; from resdavenet_vq.data import images\n"
        "from resdavenet_vq.errors import InputError; from data.hostile import most_memory as most\n"
        "before = most()\n"
        "for path in map(Path, sys.argv[1:]):\n"
        "    for read in (images.check, images.decode):\n"
        "        start, fault = time.process_time(), 'is read'\n"
        "        try: read(images.read(path))\n"
        "        except InputError as e: fault = str(e)\n"
        "        print(path.name, most() - before, time.process_time() - start, fault, sep='\\t')"
    )
    tests = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": f"{tests.parent}:{tests}"}
    command = [sys.executable, "-c", code, *(tmp_path / name for name in files)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert [line[0] for line in lines] == [name for name in files for _ in range(2)]
    for name, memory, seconds, fault in lines:
        assert int(memory) < 500_000_000, name  # the pixels of the largest size are 81 MB, as RGB 324 MB
        assert float(seconds) < 2, name
        assert ("is read" in fault) == ("rows" in name or name == "APNG"), fault


def test_interlaced_png_and_the_first_picture_of_several_are_read():
    pixels = np.random.default_rng(0).integers(0, 256, (37, 23), np.uint8)
    np.testing.assert_array_equal(np.asarray(images.decode(interlaced(pixels)))[:, :, 1], pixels)
    first, second = noise(40, 30), noise(20, 10, 1)
    several = {"save_all": True, "append_images": [second]}
    for data, alone in (
        (encoded(first, "MPO", **several), encoded(first)),
        (encoded(first, "PNG", **several), encoded(first, "PNG")),
    ):
        images.check(data)
        assert images.decode(data).tobytes() == images.decode(alone).tobytes()


def test_a_jpeg_of_so_many_scans_that_it_would_take_seconds_is_refused_in_milliseconds():
    data = repeated_scans(Image.new("RGB", (2000, 2000), (10, 200, 30)), 2000)
    for read in (images.check, images.decode):
        start = time.process_time()
        with pytest.raises(InputError, match=r"^has 2000 scans, more than 100: a decompression bomb$"):
            read(data)
        assert time.process_time() - start < 0.05


def test_a_larger_image_is_reduced_and_a_smaller_one_stays_as_it_is():
    data = jpeg(gradients(640, 480))
    smaller = images.reduced(data, 240)
    assert images.decode(smaller).size == (320, 240)
    assert images.reduced(data, 480) is data
    assert images.reduced(smaller, 240) is smaller
    png = io.BytesIO()
    gradients(90, 60).save(png, "PNG")
    assert Image.open(io.BytesIO(images.reduced(png.getvalue(), 30))).format == "JPEG"
    with pytest.raises(InputError, match="is empty"):
        images.reduced(b"", 30)


def test_crops_of_a_reduced_image_differ_little():
    """The largest difference and the mean, of 255, of the crop of evaluation and of one of a training."""
    data = jpeg(gradients(640, 480))
    whole, reduced = images.decode(data), images.decode(images.reduced(data, 256))
    evaluation = [images.evaluation_crop(image, PUBLISHED).astype(int) for image in (whole, reduced)]
    boxes = (80, 60, 400, 300), (43, 32, 213, 160)  # the same part of the picture, to a pixel
    parts = [
        image.crop((left, top, left + width, top + height)).resize((224, 224), Image.Resampling.BILINEAR)
        for image, (left, top, width, height) in zip((whole, reduced), boxes, strict=True)
    ]
    training = [pixels(part).astype(int) for part in parts]
    for crops, largest, mean in ((evaluation, 16, 2.0), (training, 24, 3.0)):
        difference = abs(crops[0] - crops[1])
        assert 0 < difference.max() <= largest
        assert difference.mean() <= mean


def gradients(width, height):
    x, y = np.meshgrid(np.linspace(0, 6, width), np.linspace(0, 4, height))
    return Image.fromarray(np.stack([120 + 100 * np.sin(x * (c + 1) + y) for c in range(3)], -1).astype(np.uint8))


def jpeg(image):
    out = io.BytesIO()
    image.save(out, "JPEG", quality=90)
    return out.getvalue()
