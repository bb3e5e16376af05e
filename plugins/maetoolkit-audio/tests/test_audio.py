from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from maetoolkit_audio import Audio
from maetoolkit_audio.cases import SMALL, audio, codes, stereo
from maetoolkit_audio.reading import SUFFIXES

from maetoolkit.data.collate import evaluation_batch
from maetoolkit.data.folder import Folder
from maetoolkit.errors import DataError
from maetoolkit.masking.plan import Layout
from maetoolkit.masking.sampler import complete
from maetoolkit.masking.share import Share
from maetoolkit.modalities.image import StandardizedRGB
from maetoolkit.modality import Geometry, ModalitySet
from maetoolkit.model.autoencoder import MaskedAutoencoder
from maetoolkit.model.decoder import CrossDecoder
from maetoolkit.model.encoder import ViT
from maetoolkit.testing import MODALITY_LAWS, Law, ModalityCase
from maetoolkit.tokens import Batch, Field
from maetoolkit.train.recipe import load_recipe


def stored(waveform: np.ndarray, rate: int = 800, suffix: str = ".wav", **options: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, waveform, rate, format=suffix[1:].upper(), **options)
    return file.getvalue()


CASES = {"audio": audio(), "stereo": stereo(), "codes": codes()}


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
@pytest.mark.parametrize("law", MODALITY_LAWS, ids=str)
def test_audio_keeps(law: Law[ModalityCase], case: ModalityCase) -> None:
    assert law(case).held is not False


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_kind_of_file_gives_the_waveform_back(suffix: str) -> None:
    time = np.arange(16000) / 16000
    tone = np.float32(0.5) * np.sin(2 * np.pi * 440 * time).astype(np.float32)
    read = Audio().read(stored(tone, 16000, suffix))
    assert read.dtype == np.float32
    assert read.shape[0] == 1
    peak = np.fft.rfft(read[0, 2000:10000]).__abs__().argmax() * 2
    assert peak == 440
    if suffix in (".wav", ".flac"):
        np.testing.assert_allclose(read[0], tone, atol=1e-4)


def test_another_rate_is_resampled_or_refused_as_declared() -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(22050) / 22050).astype(np.float32) / 2
    found = Audio(sample_rate=16000).read(stored(tone, 22050))
    expected = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000) / 2
    assert found.shape == (1, 16000)
    np.testing.assert_allclose(found[0, 500:-500], expected[500:-500], atol=2e-3)
    with pytest.raises(ValueError, match=r"expected 16000 Hz, found 22050 Hz; set `resample: true`, or `sample_rate"):
        Audio(resample=False).read(stored(tone, 22050))


def test_other_channels_are_mixed_down_or_refused_as_declared() -> None:
    stereo = np.stack([np.linspace(-0.5, 0.5, 500), np.linspace(0.5, -0.5, 500)], 1)
    assert np.abs(SMALL.read(stored(stereo))).max() < 1e-4
    assert SMALL.replace(channels=2).read(stored(stereo)).shape == (2, 500)
    with pytest.raises(ValueError, match="expected 1 channel, found 2; set `mix_down: true`, or `channels`"):
        SMALL.replace(mix_down=False).read(stored(stereo))
    with pytest.raises(ValueError, match="expected 2 channels, found 1"):
        SMALL.replace(channels=2).read(stored(stereo[:, 0]))


def test_what_is_no_recording_is_refused_with_a_reason() -> None:
    wave = stored(np.linspace(-0.5, 0.5, 500))
    silence = stored(np.zeros(0))
    nan = stored(np.array([0.1, np.nan, 0.2]), subtype="FLOAT")
    for data, reason in [
        (b"", r"the file is empty \(zero bytes\)"),
        (b"no sound at all", r"expected a recording \(.wav .ogg .flac .mp3\), found a damaged or unknown file"),
        (wave[:500], "truncated recording: its header says 1044 bytes, found 500"),
        (stored(np.linspace(-0.5, 0.5, 5000), suffix=".flac")[:500], "damaged or unknown file"),
        (stored(np.linspace(-0.5, 0.5, 5000), 16000, ".ogg")[:100], "damaged or unknown file"),
        (silence, "the recording has zero length; expected at least one sample"),
        (nan, "expected finite samples, found NaN or infinity"),
    ]:
        with pytest.raises(ValueError, match=reason):
            SMALL.read(data)
    for value, reason in [
        (np.zeros((1, 0), np.float32), "zero length"),
        (
            np.zeros((2, 9), np.float32),
            r"expected a waveform of floats \(1, samples\), found float32 of shape",
        ),
        (np.zeros((1, 9), np.int16), "found int16"),
        (np.full((1, 9), np.nan, np.float32), "NaN"),
    ]:
        with pytest.raises(ValueError, match=reason):
            SMALL.transform(value, Geometry())


def test_a_recording_that_was_written_to_a_pipe_is_read_to_its_end() -> None:
    wave = stored(np.linspace(-0.5, 0.5, 500))
    for unknown in (b"\0" * 4, b"\xff" * 4):
        assert SMALL.read(wave[:4] + unknown + wave[8:]).shape == (1, 500)


def test_clipped_recordings_are_accepted_or_refused_as_declared() -> None:
    loud = np.clip(3 * np.sin(np.arange(500) / 9), -1, 1)
    assert SMALL.read(stored(loud)).shape == (1, 500)
    assert SMALL.read(stored(loud * 2, subtype="FLOAT")).max() == 2
    with pytest.raises(ValueError, match=r"the recording is clipped: .* of its samples lie at full scale or beyond"):
        SMALL.replace(clipped="refuse").read(stored(loud))
    assert SMALL.replace(clipped="refuse").read(stored(loud / 2)).shape == (1, 500)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"num_mels": 100}, "num_mels: expected a multiple of the 16 bands of a patch, found 100; use 96 or 112"),
        ({"seconds": 0.1}, "seconds: expected at least the 0.16 of one patch, found 0.1"),
        ({"high": 9000}, r"high: expected Hz above `low` \(0\) and at most 8000, found 9000"),
        ({"hop": 500}, "window: expected at least the 500 samples of a hop, found 400"),
        ({"standardize": "dataset"}, "mean, std: expected both where `standardize` is dataset"),
        ({"size": 64}, "Extra inputs are not permitted"),
        ({"patch": (4, 4, 4)}, "patch: expected 1 or 2 numbers"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Audio(**settings)


@settings(max_examples=25, deadline=None)
@given(length=st.integers(1, 700), seed=st.integers(0, 9))
def test_half_a_clip_is_half_of_the_tokens_and_changes_nothing_else(length: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    whole = draw.standard_normal((1, 600)).astype(np.float32)
    part = draw.standard_normal((1, length)).astype(np.float32)
    field = SMALL.collate([SMALL.transform(w, Geometry()) for w in (whole, part)])
    num_frames = min(12, -(-length // 32))
    columns = -(-num_frames // 4)
    present = field.present if field.present.ndim == 2 else field.present[:, None].expand(2, 6)
    assert present[0].all()
    assert present[1].view(2, 3).tolist() == [[at < columns for at in range(3)]] * 2
    prepared = SMALL.prepare(field)
    if prepared.valid is not None:
        assert prepared.valid[1, 0, 0].tolist() == [at < num_frames for at in range(12)]
    alone = SMALL.prepare(SMALL.collate([SMALL.transform(whole, Geometry())]))
    torch.testing.assert_close(prepared.values[:1], alone.values, rtol=1e-5, atol=1e-5)
    real = prepared.values[1, :, :, :num_frames]
    assert abs(float(real.mean())) < 1e-4
    assert not prepared.values[1, :, :, num_frames:].any()


def test_a_batch_with_half_a_clip_trains_as_its_samples_do_alone() -> None:
    draw = np.random.default_rng(0)
    clips = [draw.standard_normal((1, n)).astype(np.float32) for n in (500, 150, 33)]
    encoder, decoder = ViT(dim=24, depth=1, heads=2), CrossDecoder(dim=24, depth=1, heads=2)
    model = MaskedAutoencoder(ModalitySet(audio=SMALL), encoder, decoder, Share()).eval()

    def run(names: list[int]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        field = SMALL.collate([SMALL.transform(clips[n], Geometry()) for n in names])
        layout = Layout.of(model.modalities, {"audio": field})
        visible = {"audio": layout.present["audio"] & (np.arange(6) % 3 == 0)}
        output = model(Batch({"audio": field}, tuple(map(str, names))), complete(layout, visible, "all"))
        return output.scores["audio"].total / output.scores["audio"].count, output.predictions

    together, predicted = run([0, 1, 2])
    parts = [run([n]) for n in range(3)]
    torch.testing.assert_close(together, torch.cat([part[0] for part in parts]), rtol=1e-5, atol=1e-5)
    alone = torch.cat([part[1]["audio"] for part in parts])
    torch.testing.assert_close(predicted["audio"], alone, rtol=1e-5, atol=1e-5)


def test_a_clip_begins_at_random_in_training_and_in_the_middle_in_evaluation() -> None:
    ramp = np.linspace(0, 1, 1600, dtype=np.float32)[None] * np.random.default_rng(0).standard_normal((1, 1600))
    ramp = ramp.astype(np.float32)
    middle = SMALL.transform(ramp, Geometry())
    np.testing.assert_array_equal(middle, SMALL.transform(ramp, Geometry(top=0.2, flip=True)))
    starts = [SMALL.transform(ramp, Geometry(path=(0, epoch, "key"))).mean() for epoch in range(20)]
    assert len(set(starts)) == 20
    assert min(starts) < middle.mean() < max(starts)
    again = SMALL.transform(ramp, Geometry(path=(0, 3, "key")))
    assert again.mean() == starts[3]


def test_a_later_clip_is_the_same_recording_cut_elsewhere() -> None:
    """Frames see what stands before and after the clip, so a shift by whole hops shifts the frames."""
    draw = np.random.default_rng(1)
    waveform = draw.standard_normal((1, 2000)).astype(np.float32)
    longer = SMALL.replace(seconds=32 * 60 / 800)
    whole, part = longer.transform(waveform, Geometry()), SMALL.transform(waveform, Geometry())
    shift = ((2000 - 384) // 2 - (2000 - 1920) // 2) // 32
    assert ((2000 - 384) // 2 - (2000 - 1920) // 2) % 32 == 0
    np.testing.assert_allclose(part, whole[..., shift : shift + 12], rtol=1e-4, atol=1e-4)


def test_low_frequencies_are_at_the_bottom_and_time_runs_to_the_right() -> None:
    audio = Audio(seconds=0.64, num_mels=32)
    time = np.arange(10240) / 16000
    late = np.where(time > 0.32, np.sin(2 * np.pi * 200 * time), 0)[None].astype(np.float32)
    patches = audio.patchify(audio.prepare(audio.collate([audio.transform(late, Geometry())])))
    picture = audio.picture(patches.values[0], patches.grid)
    assert picture.shape == (32, 64, 3)
    bright = picture.astype(int).sum(2)
    row, column = np.unravel_index(bright.argmax(), bright.shape)
    assert row > 24
    assert column > 30


def test_standardised_patches_are_the_core_s_own_output() -> None:
    modalities = ModalitySet(audio=SMALL.replace(role="input"), audio_std=StandardizedRGB(of="audio"))
    encoder, decoder = ViT(dim=24, depth=1, heads=2), CrossDecoder(dim=24, depth=1, heads=2)
    model = MaskedAutoencoder(modalities, encoder, decoder, Share(ratio=0.5))
    draw = np.random.default_rng(0)
    clips = [draw.standard_normal((1, n)).astype(np.float32) for n in (500, 150)]
    output = model({"audio": SMALL.collate([SMALL.transform(clip, Geometry()) for clip in clips])})
    output.loss.backward()
    assert output.loss.isfinite()
    assert output.scores["audio_std"].count.sum() > 0


def test_importing_the_plugin_imports_no_torch() -> None:
    script = (
        "import sys, maetoolkit_audio as a; a.Audio(); a.AudioCodes(); a.TimeFrequency(); "
        "print([name for name in ('torch', 'numpy', 'scipy', 'soundfile') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_silence_is_finite() -> None:
    field = SMALL.prepare(Field.of(torch.from_numpy(SMALL.transform(np.zeros((1, 500), np.float32), Geometry()))[None]))
    assert field.values.isfinite().all()
    assert float(field.values.abs().max()) < 0.1


def test_a_folder_of_recordings_is_read_and_what_is_wrong_is_told_with_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "train" / "audio" / "rain"
    folder.mkdir(parents=True)
    draw = np.random.default_rng(0)
    (folder / "long.wav").write_bytes(stored(draw.uniform(-0.5, 0.5, 700)))
    (folder / "short.ogg").write_bytes(stored(draw.uniform(-0.5, 0.5, 8000), 16000, ".ogg"))
    modalities, source = ModalitySet(audio=SMALL.replace(seconds=0.64)), Folder(root=str(tmp_path))
    samples = source.open(modalities, "train")
    assert samples is not None
    batch = evaluation_batch(samples, modalities, [0, 1])
    assert batch.fields["audio"].values.shape == (2, 1, 8, 16)
    present = batch.fields["audio"].present
    assert present.view(2, 2, 4).all(1).tolist() == [[True] * 4, [True] * 4]  # 400 samples reach into the last column
    (folder / "short.ogg").write_bytes(b"OggS and nothing else")
    with pytest.raises(
        DataError, match=r"rain/short\.ogg: expected a recording \(.*\), found a damaged or unknown file"
    ):
        samples.read(1)


@pytest.mark.parametrize(("name", "num_tokens"), [("audio-esc10-small", 124), ("audio-codes-esc10-small", 62)])
def test_the_recipes_are_valid(name: str, num_tokens: int) -> None:
    assert load_recipe(name).modality_set["audio"].num_tokens == num_tokens


def test_sound_says_nothing_about_the_crop_of_pictures() -> None:
    from maetoolkit.data.transform import declared_aspect
    from maetoolkit.modalities.image import RGB
    from maetoolkit.modality import ModalitySet

    assert declared_aspect(ModalitySet(audio=Audio(), rgb=RGB(size=(32, 64)))) == 2
    assert declared_aspect(ModalitySet(audio=Audio(), rgb=RGB(size=32))) == 1
