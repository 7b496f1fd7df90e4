"""What a header says of the length of a file, and what is there: all of it is read, or the file is refused by name."""

import io
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from resdavenet_vq.data import audio, mpeg
from resdavenet_vq.data.audio import length_of_wav, open_audio, read_channels, read_wav
from resdavenet_vq.data.layout import Edit, EditedFile
from resdavenet_vq.data.recording import Recording
from resdavenet_vq.errors import InputError

N = 4000
SAMPLES = (8000 * np.sin(np.arange(N) * 0.1)).astype("<i2")


def chunk(name, data, size=None, order="<"):
    return name + struct.pack(order + "I", len(data) if size is None else size) + data


def form(tag=1, channels=1, rate=16000, bits=16, extra=b""):
    width = channels * bits // 8
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, rate * width, width, bits) + extra)


def wav(*chunks, size=None, magic=b"RIFF"):
    content = b"WAVE" + b"".join(chunks)
    return magic + struct.pack("<I", len(content) if size is None else size) + content


def written(path, data):
    path.write_bytes(data)
    return path


def refusal(path):
    """What all ways to read a file say of it; they agree."""
    words = set()
    for read in (read_wav, Recording, lambda p: [*read_channels(p, "float32")]):
        with pytest.raises(InputError) as e:
            read(path)
        words.add(str(e.value))
    assert len(words) == 1
    return words.pop().removeprefix(f"{path}: ")


def check_samples(path, expected):
    np.testing.assert_array_equal(read_wav(path), expected.astype(np.float32) / 32768)
    assert length_of_wav(path) == len(expected)
    assert Recording(path, allow_silent=True).n_samples == len(expected)


PIPES = [
    (0xFFFFFFFF, 0xFFFFFFFF, "ffmpeg"),
    (0x7FFFF024, 0x7FFFF000, "SoX and espeak-ng"),
    (0x7FFFFF24, 0x7FFFFF00, "arecord"),
    (0x80000023, 0x7FFFFFFF, "LAME"),
    (0x7FFFFFFF, 0x7FFFFFFF, "Oboe"),
    (0xFFFFFFFF, 0xFFFFFFFF - 36, "what is left of 32 bits"),
    (0xFFFFFFFF, 0xFFFFFFFF - 44, "flac"),
    (0x80000024, 0x80000000, "half of 32 bits"),
    (0x7FFFFFFF, 0x7FFFFFFF - 36, "what is left of 31 bits"),
    (0, 0, "a recorder that died"),
    (36, 0, "a recorder that died, and an empty file"),
    (8 + 36 + 2 * N, 0xFFFFFFFF, "only the length of the audio"),
]


@pytest.mark.parametrize(("riff", "data", "program"), PIPES)
@pytest.mark.parametrize("bits", [16, 8, 24])
def test_wavs_of_pipes_are_read_to_their_end(tmp_path, riff, data, program, bits):
    if bits == 16:
        content, expected = SAMPLES.tobytes(), SAMPLES
    elif bits == 8:
        content, expected = (SAMPLES // 256 + 128).astype(np.uint8).tobytes(), SAMPLES // 256 * 256
    else:
        content, expected = SAMPLES.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes(), SAMPLES / 256
    path = written(tmp_path / "a.wav", wav(form(bits=bits), chunk(b"data", content, data), size=riff))
    check_samples(path, expected)
    np.testing.assert_array_equal(np.concatenate([*read_channels(path, "float32")])[:, 0], read_wav(path))


@given(cut=st.integers(0, 2 * N + 70), riff_and_data=st.sampled_from([pipe[:2] for pipe in PIPES]))
@settings(max_examples=100)
def test_of_a_wav_without_a_length_the_whole_samples_are_read_that_are_there(tmp_path, cut, riff_and_data):
    riff, size = riff_and_data
    data = wav(form(), chunk(b"LIST", b"INFO" * 4), chunk(b"data", SAMPLES.tobytes(), size), size=riff)
    path, start = written(tmp_path / "a.wav", data[:cut]), len(data) - 2 * N
    if cut < start:
        assert refusal(path).startswith(("truncated", "is empty"))
    else:
        check_samples(path, SAMPLES[: (min(cut, len(data)) - start) // 2])


@pytest.mark.parametrize("promised", [2 * N + 2, 0x7FFF0000, 0x60000000, 0x90000000, 0xFFFF0000])
def test_other_lengths_than_placeholders_are_promises(tmp_path, promised):
    path = written(tmp_path / "a.wav", wav(form(), chunk(b"data", SAMPLES.tobytes(), promised)))
    assert refusal(path) == f"truncated, its header promises {promised} bytes of audio and {2 * N} are there"


def test_an_empty_wav_is_empty_even_if_chunks_follow(tmp_path):
    list_ = chunk(b"LIST", b"INFOISFT")
    for content in (b"", list_, chunk(b"odd ", b"abc") + b"\0" + list_):
        path = written(tmp_path / "a.wav", wav(form(), chunk(b"data", b""), content))
        assert len(read_wav(path)) == 0
        with pytest.raises(InputError, match=r"a\.wav: no samples"):
            read_wav(path, allow_silent=False)


@pytest.mark.parametrize("n_promised", [0x1000, 2 * N - 100])
def test_audio_behind_the_promised_audio_is_not_dropped(tmp_path, n_promised):
    path = written(tmp_path / "a.wav", wav(form(), chunk(b"data", SAMPLES.tobytes(), n_promised)))
    words = f"is damaged, its header promises {n_promised} bytes of audio, and {2 * N - n_promised} follow that are something"
    assert refusal(path).startswith(words)


@pytest.mark.parametrize(
    "rest",
    [
        chunk(b"LIST", b"INFOISFT"),
        chunk(b"LIST", b"INFOISFT", 100),
        chunk(b"id3 ", b"x" * 9),
        chunk(b"abcd", b"x" * 9) + b"\0" + chunk(b"LIST", b""),
        b"TAG" + b"x" * 125,
        bytes(512),
        b"\r\n",
    ],
)
def test_chunks_and_tags_after_the_audio_are_passed_over(tmp_path, rest):
    check_samples(written(tmp_path / "a.wav", wav(form(), chunk(b"data", SAMPLES.tobytes()), rest)), SAMPLES)


@pytest.mark.parametrize("padding", [b"\0", b"", b" "])
@pytest.mark.parametrize("bits", [16, 8])
def test_odd_chunks_may_lack_their_padding(tmp_path, padding, bits):
    data = SAMPLES.tobytes() if bits == 16 else (SAMPLES // 256 + 128).astype(np.uint8).tobytes()
    odd = chunk(b"bext", b"odd") + padding
    path = written(tmp_path / "a.wav", wav(odd, form(bits=bits), odd, chunk(b"data", data)))
    check_samples(path, SAMPLES if bits == 16 else SAMPLES // 256 * 256)


def test_odd_audio_may_lack_its_padding(tmp_path):
    data = (SAMPLES[:-1] // 256 + 128).astype(np.uint8).tobytes()
    for padding in (b"\0", b""):
        path = written(tmp_path / "a.wav", wav(form(bits=8), chunk(b"data", data), padding, chunk(b"LIST", b"INFO")))
        check_samples(path, SAMPLES[:-1] // 256 * 256)


PCM_GUID = b"\1\0\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"


@pytest.mark.parametrize("mask", [0, 1, 0x3F, 0xFFFFFFFF])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_extensible_wavs_with_any_mask_are_averaged(tmp_path, mask, channels):
    extra = struct.pack("<HHI", 22, 16, mask) + PCM_GUID
    each = np.stack([SAMPLES // (i + 1) for i in range(channels)], axis=1)
    path = written(tmp_path / "a.wav", wav(form(0xFFFE, channels, extra=extra), chunk(b"data", each.tobytes())))
    np.testing.assert_array_equal(read_wav(path), (each.astype(np.float32) / 32768).mean(axis=1))


def test_a_format_that_libsndfile_does_not_know_is_refused_with_a_remedy(tmp_path):
    path = written(tmp_path / "a.wav", wav(form(0x161, extra=b"\0\0"), chunk(b"data", bytes(1000))))
    assert refusal(path).endswith("; convert it: ffmpeg -i a.wav a-new.wav")
    assert refusal(path).startswith("cannot be read as audio (")


def aiff(size=None, n=N, form_size=0):
    rate = struct.pack(">HQ", 16383 + 13, 16000 << 50)
    comm = chunk(b"COMM", struct.pack(">hIh", 1, n, 16) + rate, order=">")
    sound = chunk(b"SSND", bytes(8) + SAMPLES.astype(">i2").tobytes(), size, order=">")
    return b"FORM" + struct.pack(">I", form_size) + b"AIFF" + comm + sound


@pytest.mark.parametrize(
    ("size", "n"),
    [(None, N), (0, 0), (0x7F000008, 0x3F800000), (0xFFFFFFFF, 0), (0x7FFFFFFF, 0), (0x7F000000 - 4 + 8, 0x3F800000)],
)
def test_aiffs_of_pipes_are_read_to_their_end(tmp_path, size, n):
    check_samples(written(tmp_path / "a.aiff", aiff(size, n)), SAMPLES)


def test_an_aiff_without_its_sound_is_truncated_unless_it_has_none(tmp_path):
    path = written(tmp_path / "a.aiff", aiff()[:38])
    assert refusal(path) == "truncated, the header ends before any audio"
    soundfile.write(path, np.zeros(0), 16000)
    assert len(read_wav(path)) == 0


@pytest.mark.parametrize(("size", "expected"), [(0xFFFFFFFF, N), (2 * N, N), (0, N)])
@pytest.mark.parametrize("order", [">", "<"])
def test_aus_of_pipes_are_read_to_their_end(tmp_path, size, expected, order):
    magic = b".snd" if order == ">" else b"dns."
    header = magic + struct.pack(order + "IIIII", 24, size, 3, 16000, 1)
    check_samples(written(tmp_path / "a.au", header + SAMPLES.astype(order + "i2").tobytes()), SAMPLES[:expected])


@pytest.mark.parametrize("length", [0, 2 * N, 2**64 - 1])
def test_rf64_of_pipes_are_read_to_their_end(tmp_path, length):
    ds64 = chunk(b"ds64", struct.pack("<QQQI", 0, length, 0, 0))
    data = wav(ds64, form(), chunk(b"data", SAMPLES.tobytes(), 0xFFFFFFFF), size=0xFFFFFFFF, magic=b"RF64")
    check_samples(written(tmp_path / "a.wav", data), SAMPLES)


def with_length_at(path, name, offset, form, value):
    """The file with another length of a chunk, which follows its name."""
    data = bytearray(path.read_bytes())
    struct.pack_into(form, data, data.index(name) + offset, value)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("length", [2**63 - 1, 2**64 - 1, 2**63 - 25])
def test_w64s_of_pipes_are_read_to_their_end(tmp_path, length):
    soundfile.write(tmp_path / "a.w64", SAMPLES, 16000)
    check_samples(with_length_at(tmp_path / "a.w64", b"data\xf3", 16, "<Q", length), SAMPLES)


@pytest.mark.parametrize("length", [0, 23])
def test_a_w64_with_less_than_no_audio_is_refused(tmp_path, length):
    soundfile.write(tmp_path / "a.w64", SAMPLES, 16000)
    path = with_length_at(tmp_path / "a.w64", b"data\xf3", 16, "<Q", length)
    assert refusal(path) == "is damaged, the chunk of its audio has a negative length"


def test_a_caf_of_a_pipe_is_read_to_its_end(tmp_path):
    soundfile.write(tmp_path / "a.caf", SAMPLES, 16000)
    check_samples(with_length_at(tmp_path / "a.caf", b"data\0", 4, ">Q", 2**64 - 1), SAMPLES)
    assert "promises 4 bytes of audio, and" in refusal(with_length_at(tmp_path / "a.caf", b"data\xff", 4, ">Q", 4))


def sphere(coding="pcm", n=N, width=2, data=None):
    fields = f"sample_count -i {n}\nsample_n_bytes -i {width}\nchannel_count -i 1\nsample_byte_format -s2 01\n"
    fields += f"sample_rate -i 16000\nsample_coding -s{len(coding)} {coding}\nend_head\n"
    return f"NIST_1A\n   1024\n{fields}".encode().ljust(1024) + (SAMPLES.tobytes() if data is None else data)


def test_sphere(tmp_path):
    check_samples(written(tmp_path / "a.wav", sphere()), SAMPLES)
    cut = written(tmp_path / "a.wav", sphere(data=bytes(100)))
    assert refusal(cut) == f"truncated, its header promises {2 * N} bytes of audio and 100 are there"
    ulaw = written(tmp_path / "u.sph", sphere("ulaw", width=1, data=bytes(N - 1)))
    assert refusal(ulaw) == f"truncated, its header promises {N} bytes of audio and {N - 1} are there"


@pytest.mark.parametrize("coding", ["pcm,embedded-shorten-v2.00", "ulaw,embedded-shorten-v1.09"])
def test_shorten_is_refused_by_name(tmp_path, coding):
    path = written(tmp_path / "a.wav", sphere(coding, data=b"ajkg" + bytes(300)))
    assert refusal(path) == f"is NIST SPHERE compressed with shorten ({coding}); unpack it: sph2pipe -f wav a.wav"


def test_what_is_no_audio_is_named(tmp_path):
    for name, data, words in (
        (
            "a.wav",
            b"<!doctype html><html>",
            "is not audio but a web page (HTML), as a download leaves that failed; download",
        ),
        ("._a.wav", b"\0\5\x16\7\0\2\0\0Mac OS X        ", "is not audio but an AppleDouble file"),
        ("b.wav", b"\0\0\0\x20ftypM4A " + bytes(99), "is an MPEG-4 or QuickTime file"),
        ("c.wav", b"version https://git-lfs.github.com/spec/v1\n", "is not audio but a pointer of Git LFS"),
        ("d.mp3", b"\xff\xf1\x50\x80\x02\x1f\xfc" + bytes(99), "is AAC audio"),
        ("e.wav", bytes(1000), "is not audio but only zeros"),
        ("f.wav", b"RIFF\0\0\0\0AVI LIST" + bytes(99), "is a video (avi)"),
    ):
        assert refusal(written(tmp_path / name, data)).startswith(words)


def mp3(path, *, xing, **options):
    """Frames of a file that libsndfile writes, with their Xing header or without it."""
    rng = np.random.default_rng(0)
    rate = options.pop("rate", 16000)
    soundfile.write(path, (rng.normal(size=3 * rate) * 0.05).clip(-1, 1), rate, format="MP3", **options)
    return join(frames_of(path)[0 if xing else 1 :])


def frames_of(path):
    data, frames, position = path.read_bytes(), [], 0
    while (frame := mpeg._parse(data[position : position + 4])) is not None:
        frames.append(data[position : position + frame.length])
        position += frame.length
    return frames


def join(frames):
    return b"".join(frames)


ID3V2 = b"ID3\3\0\0\0\0\1\x48" + bytes(200)
ID3V1 = b"TAG" + b"title".ljust(125)
APE = b"APETAGEX" + struct.pack("<IIII", 2000, 32 + 9, 0, 0xA0000000) + bytes(8) + b"x" * 9
APE += b"APETAGEX" + struct.pack("<IIII", 2000, 32 + 9, 0, 0x80000000) + bytes(8)
LYRICS = b"LYRICSBEGIN" + b"x" * 20 + b"000031LYRICS200"


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
@pytest.mark.parametrize("before", [b"", ID3V2, ID3V2 * 2, bytes(100), ID3V2 + b"\xff\xf1x" * 5])
@pytest.mark.parametrize("after", [b"", ID3V1, APE, APE + ID3V1, APE + LYRICS + ID3V1, bytes(50)])
@pytest.mark.parametrize("xing", [True, False])
def test_tags_and_the_mode_of_an_mp3_do_not_change_what_is_read(tmp_path, mode, before, after, xing):
    path = tmp_path / "a.mp3"
    data = mp3(path, xing=xing, bitrate_mode=mode)
    path.write_bytes(data)
    expected = read_wav(path)
    n = len(frames_of(path)) - xing
    assert len(expected) == (48000 if xing else 576 * n)
    path.write_bytes(before + data + after)
    check_all(path, expected)


def check_all(path, expected):
    np.testing.assert_array_equal(read_wav(path), expected)
    assert length_of_wav(path) == len(expected)


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_an_mp3_without_its_header_is_the_same_audio_with_the_delay_of_the_encoder(tmp_path, rate):
    path = tmp_path / "a.mp3"
    data = mp3(path, xing=False, bitrate_mode="VARIABLE", rate=rate)
    with_header = np.concatenate([*read_channels(path, "float32")])
    path.write_bytes(data)
    without = np.concatenate([*read_channels(path, "float32")])
    delay = next(i for i in range(4000) if np.allclose(without[i : i + 5000], with_header[:5000], atol=1e-6))
    n = min(len(with_header), len(without) - delay)
    assert n >= len(with_header) - 1152
    assert abs(without[delay : delay + n] - with_header[:n]).max() < 1e-6


def test_long_mp3s_are_read_alike_in_blocks(tmp_path, monkeypatch):
    """Seeking after every block, as soundfile does, made errors of a fifth of full scale."""
    path = tmp_path / "a.mp3"
    mp3(path, xing=True)
    whole = read_wav(path)
    monkeypatch.setattr(audio, "BLOCK", 1000)
    np.testing.assert_array_equal(read_wav(path), whole)
    np.testing.assert_array_equal(np.concatenate([*Recording(path, whole=0)._samples()]), whole)


@given(st.data())
@settings(max_examples=60)
def test_a_cut_mp3_is_refused_unless_it_is_cut_between_frames_that_nothing_counts(tmp_path, data):
    path, xing = tmp_path / "a.mp3", data.draw(st.booleans())
    frames = [*(mp3(path, xing=xing), frames_of(path))][1][0 if xing else 1 :]
    content = join(frames)
    ends = np.cumsum([len(frame) for frame in frames])
    cut = data.draw(st.one_of(st.sampled_from(ends[:-1].tolist()), st.integers(1, len(content) - 1)))
    path.write_bytes(content)
    whole = read_wav(path)
    path.write_bytes(content[:cut])
    if xing or cut not in ends:
        assert refusal(path).startswith(("truncated", "cannot be read", "is not audio"))
    else:
        samples = read_wav(path)
        assert len(samples) == 576 * (1 + ends.tolist().index(cut))
        np.testing.assert_array_equal(samples, whole[: len(samples)])


def test_an_mp3_that_is_cut_within_its_tags_is_truncated(tmp_path):
    path = tmp_path / "a.mp3"
    for size in (210, 209, 100, 12):
        path.write_bytes(ID3V2[:size])
        assert refusal(path) == f"truncated, its ID3 tags end at byte 210 and it has {size}"


def vbri(frames, n_frames, n_bytes):
    """A frame with Fraunhofer's header before others."""
    frame = bytearray(frames[0])
    frame[4:] = bytes(len(frame) - 4)
    frame[36:54] = b"VBRI" + struct.pack(">HHHII", 1, 0, 75, n_bytes, n_frames)
    return bytes(frame)


def test_a_vbri_header_is_a_promise(tmp_path):
    path = tmp_path / "a.mp3"
    mp3(path, xing=True)
    frames = [frame for frame in frames_of(path)[1:] if len(frame) >= 60]
    n, size = len(frames), len(join(frames))
    path.write_bytes(vbri(frames, n + 1, size + len(frames[0])) + join(frames))
    assert len(read_wav(path)) == 576 * n
    path.write_bytes(vbri(frames, n + 1, size + len(frames[0])) + join(frames[:-1]))
    assert refusal(path) == f"truncated, its header promises {n} MPEG frames and {n - 1} are there"


def test_joined_mp3s_are_read_to_the_end(tmp_path):
    path = tmp_path / "a.mp3"
    data = mp3(path, xing=True)
    n = len(frames_of(path)) - 1
    path.write_bytes(data + ID3V2 + data)
    assert len(read_wav(path)) == 576 * (2 * n + 1)


def test_a_stream_that_begins_within_an_mp3_is_silent_until_it_can_be_decoded(tmp_path):
    path = tmp_path / "a.mp3"
    frames = [mp3(path, xing=False, bitrate_mode="CONSTANT"), frames_of(path)][1][1:]
    path.write_bytes(join(frames))
    whole = read_wav(path)
    for first in (1, 7, 20):
        path.write_bytes(join(frames[first:]))
        samples = read_wav(path)
        assert len(samples) == 576 * (len(frames) - first)
        np.testing.assert_allclose(samples[10 * 576 :], whole[(first + 10) * 576 :], atol=1e-6)
        assert abs(samples).max() <= 1.01 * abs(whole).max()


def test_a_damaged_mp3_is_refused(tmp_path):
    path = tmp_path / "a.mp3"
    data = bytearray(mp3(path, xing=False))
    path.write_bytes(data)
    second = len(frames_of(path)[0])
    data[second] = 0
    path.write_bytes(data)
    assert "frame" in refusal(path)


@pytest.mark.parametrize("layer", [1, 2])
def test_other_layers_are_refused_by_name(tmp_path, layer):
    frame = bytes([0xFF, 0xF1 | (4 - layer) << 1, 0x94, 0xC0])
    frame = frame.ljust(mpeg._parse(frame).length, b"\0")
    path = written(tmp_path / "a.mp3", frame * 20)
    words = f"is MPEG audio of layer {layer} (mp{layer}), which is not read; convert it: ffmpeg -i a.mp3 a.wav"
    assert refusal(path) == words


def test_several_streams_in_one_ogg_file_are_refused(tmp_path):
    soundfile.write(tmp_path / "a.ogg", np.zeros(N), 16000)
    data = (tmp_path / "a.ogg").read_bytes()
    path = written(tmp_path / "b.ogg", data + data)
    assert refusal(path).startswith("holds more than one Ogg stream, of which only the first would be read; convert")


@pytest.mark.parametrize("name", ["a.wav", "a.aiff", "a.w64", "a.caf", "a.au", "a.flac"])
def test_files_that_were_joined_are_not_read_in_part(tmp_path, name):
    path = tmp_path / name
    soundfile.write(path, SAMPLES, 16000)
    data = path.read_bytes()
    path.write_bytes(data + data)
    assert refusal(path).startswith(("is damaged, its header promises ", "holds more than one FLAC stream"))


def test_an_ogg_file_that_lacks_a_page_is_refused(tmp_path):
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "a.ogg", rng.normal(size=100_000) * 0.1, 16000)
    data = (tmp_path / "a.ogg").read_bytes()
    starts = [i for i in range(len(data)) if data[i : i + 5] == b"OggS\0"]
    path = written(tmp_path / "b.ogg", data[: starts[-3]] + data[starts[-2] :])
    assert refusal(path) == f"is damaged, page {len(starts) - 3} of its Ogg stream is missing"


@given(st.binary(max_size=60), st.data())
def test_an_edited_file_is_the_bytes_with_the_edits(tmp_path, content, data):
    places = sorted(data.draw(st.lists(st.integers(0, len(content)), min_size=2, max_size=6)))
    edits = [
        Edit(start, stop, data.draw(st.binary(max_size=5)))
        for start, stop in zip(places[::2], places[1::2], strict=False)
    ]
    expected, position = b"", 0
    for edit in edits:
        expected += content[position : edit.start] + edit.new
        position = edit.stop
    expected += content[position:]
    path = written(tmp_path / "a", content)
    with path.open("rb") as file:
        edited = EditedFile(file, edits)
        assert edited.seek(0, io.SEEK_END) == len(expected)
        offset, size = data.draw(st.integers(0, 80)), data.draw(st.integers(-1, 80))
        edited.seek(offset)
        assert edited.read(size) == expected[offset:][: size if size >= 0 else None]


def test_a_block_that_is_short_is_a_fault(tmp_path):
    """Also for those who read the channels."""
    path = tmp_path / "a.flac"
    soundfile.write(path, SAMPLES, 16000)
    written(path, path.read_bytes()[:42])
    assert refusal(path) == f"truncated, 0 of {N} samples could be read"
    with open_audio(path, 3600) as file, pytest.raises(InputError, match=r"a\.flac: truncated, 0 of"):
        file.read_block("int16")
