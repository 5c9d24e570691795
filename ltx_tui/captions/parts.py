"""A caption as the pieces that are edited: its sections, or the whole of it."""

from __future__ import annotations

from engine.captions import SECTION_NAMES, Sections, sections
from ltx_tui.captions.disguise import Disguise

PLAIN = ""
NAMES = (PLAIN, *SECTION_NAMES)


class CaptionParts:
    """One caption taken apart, and put together again as its pieces change.

    What is not changed stays as it is, to the last space.

    Attributes:
        names: The pieces that are shown; `PLAIN` is the whole, or what stands before the first
            section.
        shown: The text of each in the editor.
        is_plain: Whether it is one text.
        reason: Why it is one text though sections were asked for; empty otherwise.
    """

    def __init__(self, caption: str, *, by_section: bool) -> None:
        """Take a caption apart.

        Args:
            caption: As the dataset has it.
            by_section: Whether by section, where it has sections; an empty one gets them.
        """
        self._caption = caption
        self._disguise = Disguise(caption)
        self._sections = sections(caption)
        has = [part.name for part in self._sections.parts]
        self.reason = ""
        if by_section and len(has) != len(set(has)):
            self.reason = "a section is there twice: shown as plain text"
        self.is_plain = not by_section or bool(self.reason)
        if self.is_plain:
            self.names: tuple[str, ...] = (PLAIN,)
            texts = {PLAIN: caption}
        else:
            texts = {name: self._sections.get(name) or "" for name in NAMES}
            self.names = NAMES if texts[PLAIN] else SECTION_NAMES
        self.shown = {name: self._disguise.shown(texts[name]) for name in self.names}

    def caption(self, shown: dict[str, str]) -> str:
        """Return the caption for pieces as the editor has them."""
        changed = {name: text for name, text in shown.items() if text != self.shown.get(name)}
        if not changed:
            return self._caption
        if self.is_plain:
            return self._disguise.real(changed[PLAIN])
        whole: Sections = self._sections
        for name in NAMES:
            if name in changed and (changed[name] or whole.get(name) is not None):
                whole = whole.replace(name, self._disguise.real(changed[name]))
        return self._disguise.ended(str(whole))

    def place(self, offset: int) -> tuple[str, int]:
        r"""Return the piece in which an offset of the caption lies, and the offset there.

        Letters that are disguised have one sign each, so offsets agree but for "\r\n".
        """
        if self.is_plain:
            return PLAIN, min(offset, len(self.shown[PLAIN]))
        end = 0
        place = (self.names[0], 0)
        for part in self._sections.parts:
            start = end + len(part.label) + len(part.body) - len(part.body.lstrip())
            end += len(part.label) + len(part.body)
            if part.name in self.names:
                place = (part.name, max(0, min(offset - start, len(self.shown[part.name]))))
            if offset <= end:
                break
        return place


def has_sections(caption: str) -> bool:
    """Whether any of it is in a section."""
    return any(part.name for part in sections(caption).parts)
