"""Stage `tokenizer`: a small byte-level BPE in CLIP's format, learnt from the captions."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import Tensor
from transformers import CLIPTokenizer

from dragdiffusion.evaluation.scenes import caption, sample

CAPTIONS = 4000
TOKEN_LENGTH = 77
END_OF_WORD = "</w>"
START, END = "<|startoftext|>", "<|endoftext|>"
# CLIP's split into words, digits and punctuation (Radford et al. 2021, simple_tokenizer).
WORD_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def train_tokenizer(work: Path) -> CLIPTokenizer:
    """Learn merges, write vocab.json and merges.txt, and load them back as a CLIP tokenizer."""
    folder = work / "tokenizer"
    folder.mkdir(parents=True, exist_ok=True)
    merges = _learn_merges([caption(sample(seed)) for seed in range(CAPTIONS)])
    vocabulary = _vocabulary(merges)
    CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=TOKEN_LENGTH).save_pretrained(
        folder
    )
    # save_pretrained may write only tokenizer.json; older readers need these two.
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), "utf-8")
    lines = ["#version: 0.2"] + [" ".join(merge) for merge in merges]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", "utf-8")
    return load_tokenizer(folder)


def load_tokenizer(folder: Path) -> CLIPTokenizer:
    tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    return tokenizer


def tokenize(tokenizer: CLIPTokenizer, captions: list[str]) -> Tensor:
    """Token numbers (n, length), padded as Stable Diffusion pads."""
    tokens: Tensor = tokenizer(
        captions, padding="max_length", truncation=True, return_tensors="pt"
    ).input_ids
    return tokens


def _learn_merges(captions: list[str]) -> list[tuple[str, str]]:
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix=END_OF_WORD, continuing_subword_prefix=""))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORD_PATTERN), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=1100,
        min_frequency=2,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        end_of_word_suffix=END_OF_WORD,
        special_tokens=[],
        show_progress=False,
    )
    tokenizer.train_from_iterator(captions, trainer)
    learnt = json.loads(tokenizer.to_str())["model"]["merges"]
    pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in learnt]
    return [(first, second) for first, second in pairs]


def _vocabulary(merges: list[tuple[str, str]]) -> dict[str, int]:
    """Bytes, bytes that end a word, merges, then the two markers: the order that CLIP uses."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = alphabet + [letter + END_OF_WORD for letter in alphabet]
    tokens += ["".join(merge) for merge in merges] + [START, END]
    return {token: index for index, token in enumerate(dict.fromkeys(tokens))}
