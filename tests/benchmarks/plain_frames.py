"""The straightforward way to read a clip, which ours is held against."""

from __future__ import annotations

from pathlib import Path

import torch


def plain_frames(path: Path, width: int, height: int, frames: int) -> torch.Tensor:
    """Decode everything, make it float, resize the clip, crop it, normalise it.

    Returns [3, frames, height, width], float32 in −1 … 1.
    """
    import av

    with av.open(str(path)) as container:
        arrays = []
        for frame in container.decode(video=0):
            arrays.append(torch.from_numpy(frame.to_ndarray(format="rgb24")))
            if len(arrays) == frames:
                break
    video = torch.stack(arrays).permute(0, 3, 1, 2).float() / 255
    rows, columns = video.shape[2:]
    size = (height, int(columns * height / rows))
    if columns / rows <= width / height:
        size = (int(rows * width / columns), width)
    video = torch.nn.functional.interpolate(video, size, mode="bicubic", antialias=True)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    video = video[:, :, top : top + height, left : left + width].clamp(0, 1)
    return ((video - 0.5) / 0.5).permute(1, 0, 2, 3).contiguous()
