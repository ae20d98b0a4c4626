"""A word-level tokenizer for CLIP models with a small vocabulary, such as the avatars'.

A word outside the vocabulary is an error that names it: silently dropping it would compare prompts
that say less than they seem to.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trainables.errors import UserError

if TYPE_CHECKING:  # Plans split words, and do without torch.
    from torch import Tensor

PAD: Final = 0
START: Final = 1
FIRST_WORD: Final = 2


class UnknownWordError(UserError, ValueError):
    """A prompt uses words that the model never saw."""


class WordTokenizer:
    """Texts -> (N, context_length) int64, called as open_clip's tokenizers are.

    The end token is the highest id, since open_clip pools the text at its argmax.
    """

    def __init__(self, words: Sequence[str], context_length: int) -> None:
        if len(set(words)) != len(words):
            raise ValueError("WordTokenizer: the vocabulary repeats a word")
        self.words = tuple(words)
        self.context_length = context_length
        self._ids = {word: number for number, word in enumerate(words, start=FIRST_WORD)}

    @classmethod
    def from_file(cls, path: Path, context_length: int) -> WordTokenizer:
        """Read a vocabulary of one word a line."""
        return cls(path.read_text(encoding="utf-8").split(), context_length)

    @property
    def end(self) -> int:
        """Id of the end token."""
        return FIRST_WORD + len(self.words)

    @property
    def vocab_size(self) -> int:
        """Number of ids, the three special ones included."""
        return self.end + 1

    def __call__(self, texts: str | Sequence[str], context_length: int | None = None) -> Tensor:
        """Tokenize one text or several; raises `UnknownWordError` listing every unknown word."""
        import torch

        texts = [texts] if isinstance(texts, str) else list(texts)
        length = self.context_length if context_length is None else context_length
        self._check(texts)
        tokens = torch.full((len(texts), length), PAD, dtype=torch.long)
        for row, text in enumerate(texts):
            ids = [START, *(self._ids[word] for word in split_words(text)), self.end]
            if len(ids) > length:
                raise ValueError(f"{text!r}: {len(ids) - 2} words; at most {length - 2} fit")
            tokens[row, : len(ids)] = torch.tensor(ids)
        return tokens

    def _check(self, texts: Sequence[str]) -> None:
        unknown = sorted({word for text in texts for word in split_words(text)} - set(self._ids))
        if unknown:
            raise UnknownWordError(
                f"not in this CLIP model's vocabulary of {len(self.words)} words: "
                + "; ".join(self._describe(word) for word in unknown)
            )

    def _describe(self, word: str) -> str:
        near = difflib.get_close_matches(word, self.words, n=3, cutoff=0.6)
        return f"{word!r}" + (f" (nearest: {', '.join(near)})" if near else "")


def split_words(text: str) -> list[str]:
    """Lower-case words of a text, punctuation dropped (it carries no meaning in such captions)."""
    return re.findall(r"[a-z0-9]+(?:[-'][a-z0-9]+)*", text.lower())
