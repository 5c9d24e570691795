"""Output files: what is written can be read by a trainer, and nothing wrong is ever written."""

from pathlib import Path

import pytest
import torch

from engine.errors import LtxError
from engine.precompute.layout import Stage
from engine.precompute.outputs import (
    audio_payload,
    check,
    conditions_payload,
    expect_audio,
    expect_conditions,
    expect_latents,
    latents_payload,
    load,
    relative_error,
    save,
)

BF16 = torch.bfloat16


def latents() -> torch.Tensor:
    return torch.randn(128, 2, 3, 4).to(BF16)


def test_latents_are_read_back_with_plain_numbers(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.pt"
    save(
        path,
        latents_payload(latents(), 24000 / 1001),
        expect_latents((128, 2, 3, 4), 24000 / 1001, BF16),
    )
    payload = torch.load(path, weights_only=True)
    assert list(payload) == ["latents", "num_frames", "height", "width", "fps"]
    assert [type(payload[key]) for key in list(payload)[1:]] == [int, int, int, float]
    assert [p.name for p in path.parent.iterdir()] == ["a.pt"]


def test_a_slice_takes_only_its_own_bytes_into_the_file(tmp_path: Path) -> None:
    whole = torch.randn(100, 128, 2, 3, 4).to(BF16)
    save(
        tmp_path / "a.pt",
        latents_payload(whole[3], 24.0),
        expect_latents((128, 2, 3, 4), 24.0, BF16),
    )
    assert (tmp_path / "a.pt").stat().st_size < 20_000


def test_one_projection_for_both_is_stored_once(tmp_path: Path) -> None:
    video, mask = torch.randn(1024, 64).to(BF16), torch.ones(1024, dtype=torch.int64)
    expected = expect_conditions((64, 64), "current", BF16)
    save(tmp_path / "one.pt", conditions_payload(video, mask, video, "current"), expected)
    save(tmp_path / "two.pt", conditions_payload(video, mask, video.clone(), "current"), expected)
    one, two = ((tmp_path / name).stat().st_size for name in ("one.pt", "two.pt"))
    assert two - one > 1024 * 64 * 2 * 0.9
    payload = load(tmp_path / "one.pt")
    assert list(payload) == ["video_prompt_embeds", "prompt_attention_mask", "audio_prompt_embeds"]


def test_the_schema_of_january(tmp_path: Path) -> None:
    video, mask = torch.randn(1024, 64).to(BF16), torch.ones(1024, dtype=torch.int64)
    payload = conditions_payload(video, mask, video, "2026-01")
    save(tmp_path / "a.pt", payload, expect_conditions((64, 64), "2026-01", BF16))
    assert list(load(tmp_path / "a.pt")) == ["prompt_embeds", "prompt_attention_mask"]


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (latents_payload(torch.full((128, 2, 3, 4), float("nan")).to(BF16), 24.0), "not finite"),
        (latents_payload(torch.zeros(128, 2, 3, 5).to(BF16), 24.0), "shape"),
        (latents_payload(torch.zeros(128, 2, 3, 4), 24.0), "float32"),
        (latents_payload(torch.zeros(128, 2, 3, 4).to(BF16), 25.0), "fps is 25.0, not 24.0"),
        (latents_payload(torch.zeros(128, 2, 3, 4).to(BF16), 24.0) | {"more": 1}, "keys"),
        ({"latents": 1, "num_frames": 2, "height": 3, "width": 4, "fps": 24.0}, "not a tensor"),
    ],
)
def test_nothing_wrong_is_written(
    tmp_path: Path, payload: dict[str, torch.Tensor | int | float], message: str
) -> None:
    with pytest.raises(LtxError, match=message):
        save(tmp_path / "a.pt", payload, expect_latents((128, 2, 3, 4), 24.0, BF16))
    assert list(tmp_path.iterdir()) == []


def test_a_number_of_another_type_is_wrong() -> None:
    payload = audio_payload(torch.zeros(8, 18, 16), 0.7) | {"duration": 1}
    with pytest.raises(LtxError, match="duration is a int, not a float"):
        check(payload, expect_audio((8, 18, 16), 0.7))


def test_no_code_of_a_file_is_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return exec, (f"open({str(tmp_path / 'boom')!r}, 'w')",)

    torch.save({"latents": Bomb()}, tmp_path / "a.pt")
    (tmp_path / "b.pt").write_bytes(b"garbage")
    for name in ("a.pt", "b.pt"):
        with pytest.raises(LtxError, match="not a readable output file"):
            load(tmp_path / name)
    assert not (tmp_path / "boom").exists()


def test_files_are_compared_by_their_tensors() -> None:
    one = latents_payload(torch.ones(128, 2, 3, 4).to(BF16), 24.0)
    two = latents_payload(torch.ones(128, 2, 3, 4).to(BF16) * 1.5, 24.0)
    assert relative_error(one, one, Stage.LATENTS) == 0
    assert relative_error(two, one, Stage.LATENTS) == pytest.approx(0.5)
    other = latents_payload(torch.ones(128, 3, 3, 4).to(BF16), 24.0)
    assert relative_error(one, other, Stage.LATENTS) == float("inf")
