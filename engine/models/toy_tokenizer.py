"""A small working tokenizer in Gemma's manner: made in code, without any download."""

from __future__ import annotations

from pathlib import Path

import msgspec
from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

from engine.files.safe import atomic_write

_SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>")
_SPACE = "▁"

# Words that captions are made of; frequent ones become one token, the rest falls apart.
_WORDS = """
[VISUAL]: [SPEECH]: [SOUNDS]: [TEXT]: None.
a man in a dark coat walks slowly across an empty street at night while the camera follows him
a woman with long hair smiles and looks at the camera in a bright room near a large window
the scene shows two people who sit at a wooden table and talk quietly with warm light behind them
a wide shot of the ocean with waves that move toward the shore under a blue sky with white clouds
a close up of hands holding a small red flower as the wind moves the green grass and the trees
an old car drives along a narrow road through the mountains and the sun sets behind the hills
children run and play in the park with a ball and a dog and their parents watch from a bench
soft piano music plays in the background with the sound of rain and footsteps on stone
a voice says hello and welcome to the show today we are going to look at something new
the camera pans from left to right then zooms in on the face and the background is blurred
black and white yellow orange purple brown grey colour colours pattern patterns moving still
city building buildings river water fire snow morning evening medium static handheld slow fast
"""


def write_tokenizer(folder: Path, vocabulary: int) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json`.

    Any text can be tokenised: what has no token of its own becomes bytes.

    Args:
        folder: Where to.
        vocabulary: Number of tokens; ids up to it all exist.
    """
    trained = Tokenizer(BPE(unk_token="<unk>"))  # noqa: S106 - no password
    trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    trained.train_from_iterator(
        _WORDS.splitlines(),
        BpeTrainer(
            vocab_size=vocabulary - len(_SPECIAL) - 256, special_tokens=[], show_progress=False
        ),
    )
    learnt = msgspec.json.decode(trained.to_str())["model"]
    atomic_write(folder / "tokenizer.json", _assembled(learnt, vocabulary).to_str().encode())
    atomic_write(
        folder / "tokenizer_config.json",
        msgspec.json.encode(
            {
                "tokenizer_class": "GemmaTokenizer",
                "add_bos_token": True,
                "add_eos_token": False,
                "padding_side": "left",
                "model_max_length": 1024,
                "pad_token": "<pad>",
                "eos_token": "<eos>",
                "bos_token": "<bos>",
                "unk_token": "<unk>",
            }
        ),
    )


def _assembled(learnt: dict[str, object], vocabulary: int) -> Tokenizer:
    """Put special tokens, bytes and what was learnt into one vocabulary, as Gemma has it."""
    found = learnt["vocab"]
    pairs = learnt["merges"]
    assert isinstance(found, dict)  # noqa: S101 - the format of `tokenizers`
    assert isinstance(pairs, list)  # noqa: S101
    names = [
        *_SPECIAL,
        *(f"<0x{byte:02X}>" for byte in range(256)),
        *sorted(found, key=found.__getitem__),
    ]
    names += [f"<unused{i}>" for i in range(vocabulary - len(names))]
    tokenizer = Tokenizer(
        BPE(
            vocab={name: i for i, name in enumerate(names)},
            merges=[(left, right) for left, right in pairs],
            unk_token="<unk>",  # noqa: S106 - no password
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    tokenizer.normalizer = normalizers.Replace(" ", _SPACE)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A",
        pair="<bos> $A <bos> $B",
        special_tokens=[("<bos>", names.index("<bos>"))],
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.add_special_tokens([AddedToken(t, special=True) for t in _SPECIAL])
    return tokenizer
