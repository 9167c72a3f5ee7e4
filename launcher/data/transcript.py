"""Chats written as one text: what marks their turns, and the turns between the marks.

A transcript has "Human:" and "Assistant:" before each turn, as HH-RLHF has them. Other marks are those of chat templates
(ChatML, Llama 2 and 3, Gemma, Zephyr), of Alpaca's and Guanaco's prompts ("### Instruction:", "### Human:"), and names before
a colon ("Human:", "USER:", "Question:").
"""

import re
from typing import Any

from launcher.data.findings import BrokenRow
from launcher.data.turns import Message, check_order, read_turn

_TURN = re.compile(r"(?:^|\n\n)\s*(Human|Assistant):")
_TRANSCRIPT_ROLES = {"Human": "user", "Assistant": "assistant"}
_MARKED_ROLES = {
    **dict.fromkeys(("human", "user", "prompter", "instruction", "question", "q", "input"), "user"),
    **dict.fromkeys(
        ("assistant", "response", "answer", "a", "bot", "gpt", "ai", "model", "moss"), "assistant"
    ),
    **dict.fromkeys(("output", "gpt4 correct assistant"), "assistant"),
    "gpt4 correct user": "user",
    "system": "system",
    "tool": "tool",
    "function response": "tool",
}
"""The role of each name in a mark, in lower case."""
_STYLES = (
    re.compile(r"<\|im_start\|>\s*(?P<name>system|user|assistant|tool)\b[ \t]*\n?"),
    re.compile(r"<\|start_header_id\|>\s*(?P<name>system|user|assistant)\s*<\|end_header_id\|>"),
    re.compile(r"<start_of_turn>\s*(?P<name>user|model)\b"),
    re.compile(r"<\|(?P<name>system|user|assistant)\|>"),
    re.compile(r"#{2,3}\s*(?P<name>System|Instruction|Input|Response)\s*:"),
    re.compile(r"#{2,3}\s*(?P<name>System|Human|User|Prompter|Assistant)\s*:"),
    re.compile(r"#{2,3}\s*(?P<name>Question|Answer)\s*:"),
    re.compile(r"\[(?P<name>Human|MOSS)\]\s*:"),
    re.compile(
        r"(?:^|\n)[ \t]*(?P<name>Human|User|System|Assistant|Bot|AI|GPT|Function response)\s*:", re.IGNORECASE
    ),
    re.compile(
        r"(?:^|(?<=\s)|(?<=</s>))(?P<name>USER|SYSTEM|ASSISTANT|FUNCTION RESPONSE|Human|User|Assistant)\s*:"
    ),
    re.compile(r"(?:^|(?<=>))(?P<name>GPT4 Correct (?:User|Assistant))\s*:"),
    re.compile(r"(?:^|\n)[ \t]*(?P<name>Question|Answer|Q|A)\s*:"),
)
_LLAMA_2 = re.compile(r"\[(?P<close>/?)INST\]")
_SYSTEM_2 = re.compile(r"<<SYS>>(.*?)<</SYS>>", re.DOTALL)
_ENDS = re.compile(
    r"<\|im_end\|>|<\|eot_id\|>|<\|begin_of_text\|>|<\|end_of_text\|>|<end_of_turn>|<\|end\|>|<\|endoftext\|>|<\|end_of_turn\|>|</?s>"
    r"|<bos>|<eos>|<eo[ha]>"
)
_OPENS = re.compile(
    r"\s*(?:(?:<s>|<bos>|<\|begin_of_text\|>)\s*)*(?:<\|im_start\||<\|start_header_id\||<start_of_turn>|<\|(?:system|user)\||\[INST\]"
    r"|Below is an instruction|#{2,3}\s*(?:Human|User|Prompter|System|Instruction|Question)\s*:|(?i:human|user|system)\s*:"
    r"|\[Human\]\s*:|GPT4 Correct User:|(?:Question|Q)\s*:|A chat between)"
)
_ONE = re.compile(r"\s*(?P<name>Human|User|Assistant|Bot|AI|GPT|Question|Answer|Q|A)\s*:\s", re.IGNORECASE)
_PREAMBLE = "Below is an instruction"
"""What Alpaca's prompts begin with; a chat template takes its place."""


def is_transcript(value: Any) -> bool:
    """Whether a value is a text that begins with "Human:" and has a turn of "Assistant:"."""
    return isinstance(value, str) and value.lstrip().startswith("Human:") and "Assistant:" in value


def is_open(text: str) -> bool:
    """Whether a text is a transcript whose last answer is still missing."""
    return is_transcript(text) and text.rstrip().endswith("\n\nAssistant:")


def split(text: str, name: str) -> tuple[list[Message], str]:
    """The turns before the last "Assistant:", and the text after it; BrokenRow about the key `name` for another text."""
    parts = _TURN.split(text)
    if parts[0].strip() or len(parts) < 5 or parts[-2] != "Assistant":
        raise BrokenRow(
            "format",
            f'{name} is not a transcript that begins with "Human:" and ends with an answer of "Assistant:"',
        )
    turns = [
        _turn(_TRANSCRIPT_ROLES[speaker], said.strip())
        for speaker, said in zip(parts[1:-2:2], parts[2:-1:2], strict=True)
    ]
    return turns, parts[-1]


def answer_of(text: str, name: str) -> list[Message]:
    """The answer in the text of the key `name`; the text may begin with "Assistant:", or with the whole prompt again."""
    if is_transcript(text):
        text = split(text, name)[1]
    return [_turn("assistant", text.strip().removeprefix("Assistant:").strip())]


def asked_in(text: str, name: str) -> list[Message]:
    """The turns of a prompt that ends with "Assistant:"."""
    turns, answered = split(text, name)
    if answered.strip():
        raise BrokenRow("format", f'{name} does not end with "Assistant:"; end it with the question')
    return turns


def is_chat(text: str) -> bool:
    """Whether the text is a chat with marks that are known: it begins with a turn of the user and has one of the assistant."""
    if _OPENS.match(text) is None:
        return False
    try:
        return any(turn["role"] == "assistant" for turn in _split(text))
    except BrokenRow:
        return False


def speaker_of(text: str) -> str | None:
    """The role of the speaker named at the beginning of a single turn, such as User: or A:; None for any other text."""
    found = _ONE.match(text)
    return _MARKED_ROLES[found["name"].lower()] if found else None


def turns_of(text: str, key: str) -> list[Message]:
    """The turns of the text; BrokenRow if its marks are not known, or if its turns are not in the order of a chat."""
    turns = _split(text)
    if not any(turn["role"] == "assistant" for turn in turns):
        raise BrokenRow(
            "format",
            f'{key} is not a chat whose turns have known marks, such as "Human:" and "Assistant:", "### Instruction:" and '
            '"### Response:", or those of ChatML; write a list of turns',
        )
    check_order(turns)
    return turns


def _split(text: str) -> list[Message]:
    """The turns, by the first style whose marks show a turn of the user and one of the assistant; none if no style fits."""
    if "[INST]" in text:
        return _split_llama_2(text)
    for style in _STYLES:
        marks = list(style.finditer(text))
        roles = [_MARKED_ROLES[mark["name"].lower()] for mark in marks]
        if "user" in roles and "assistant" in roles:
            before = _plain(text[: marks[0].start()])
            said = [
                _plain(text[mark.end() : after])
                for mark, after in zip(marks, [*(one.start() for one in marks[1:]), len(text)], strict=True)
            ]
            names = [mark["name"].lower() for mark in marks]
            return _joined(before, names, said)
    return []


def _joined(before: str, names: list[str], said: list[str]) -> list[Message]:
    """The turns; an input stands below its instruction, and a text before the first mark is a system prompt."""
    turns: list[Message] = []
    if before and not before.startswith(_PREAMBLE) and _MARKED_ROLES[names[0]] != "system":
        turns.append(_turn("system", before))
    for name, text in zip(names, said, strict=True):
        if name == "input" and turns and turns[-1]["role"] == "user":
            turns[-1] = _turn("user", f"{turns[-1]['content']}\n\n{text}".rstrip())
        elif not (_MARKED_ROLES[name] == "system" and not text):
            turns.append(_turn(_MARKED_ROLES[name], text))
    return turns


def _split_llama_2(text: str) -> list[Message]:
    turns: list[Message] = []
    role = "assistant"
    for number, piece in enumerate(_LLAMA_2.split(text)):
        if number % 2:  # what the split has left of a mark: "/" for [/INST], nothing for [INST]
            role = "assistant" if piece else "user"
            continue
        system = _SYSTEM_2.search(piece)
        if system and not turns:
            turns.append(_turn("system", system[1].strip()))
            piece = _SYSTEM_2.sub("", piece)
        if said := _plain(piece):
            turns.append(_turn(role, said))
    return turns


def _turn(role: str, text: str) -> Message:
    return read_turn({"role": role, "content": text})


def _plain(text: str) -> str:
    """The text without the tokens that end a turn."""
    return _ENDS.sub("", text).strip()
