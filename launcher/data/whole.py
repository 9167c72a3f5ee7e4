"""What a check says of a data file as a whole: how it was read, mixtures, lengths and size; and what so many rows can teach.

Sources of the advice: OpenAI's fine-tuning guide (at least 10 rows; clear gains from 50 to 100); Zhou et al., LIMA (arXiv
2305.11206: 1,000 selected rows give a style of answering); Gekhman et al. (arXiv 2405.05904: facts new to the model are
learnt late and raise hallucination); Ovadia et al. (arXiv 2312.05934: retrieval beats fine-tuning for facts).
"""

from collections import Counter
from collections.abc import Sequence

from launcher.data.kinds import SPOKEN
from launcher.data.part import Part
from launcher.data.places import suffix_of
from launcher.data.portion import CheckOptions
from launcher.data.printed import Tokens
from launcher.data.reading import Reading
from launcher.data.unread import missing_columns, unread, without_effect
from launcher.units import plural

STEPS = (
    (10, "put them into the prompt as examples: it costs nothing and works better than a fine-tune"),
    (50, "try them as examples in a prompt first; a fine-tune shows clear gains from 50 to 100 good rows on"),
    (500, "enough for a tone, a voice or an output format; for a skill, collect 500 to 5,000"),
    (
        5_000,
        "enough for one task or a style of answering; check the quality of the rows before you collect more",
    ),
    (100_000, "enough for several tasks; add general chats against forgetting, and train one or two epochs"),
    (
        None,
        "enough for broad behaviour; train one epoch, and compare with a smaller, cleaner selection of rows",
    ),
)

_FEWEST = 10
"""Chats from which on their answers are compared."""
_TURNS = 0.5
"""If at least this share of the texts begins with a speaker, the file counts as chats with one turn on each line."""


def add_whole(part: Part, asked: CheckOptions, tokens: Tokens) -> None:
    """Adds what is wrong with the file as a whole."""
    if not part.rows:
        table = suffix_of(str(asked.path)) in (".csv", ".tsv")
        row = "rows below the line of names" if table else 'one {"messages": [...]} on each line'
        part.add_finding("no_rows", None, f"{asked.path} holds no rows; write {row}")
        return
    _add_reading(part, asked.reading)
    _add_mixtures(part)
    _add_same_answer(part)
    if len(part.labels) == 1 and set(part.kinds) == {"labelled"}:
        label = str(next(iter(part.labels))).lower()
        part.add_finding(
            "one_label",
            None,
            f"all {len(part.lines):,} answers have label {label}; kto learns from good and bad answers: add the others, or use "
            "trainer=sft for good answers alone",
        )
    if part.lines and set(part.kinds) == {"chat"}:
        share = tokens["trained_share"]
        if share == 0 and not part.counts["template"]:
            part.add_finding("nothing_trained", None, _why_nothing(part, tokens))
        elif share and part.trained == part.characters and asked.assistant_only:
            part.add_finding(
                "everything_trained",
                None,
                "100 % of the tokens are trained on, because the chats hold no user turn; add the questions, or use plain text",
            )
    if tokens["truncated"]:
        how = "" if asked.tokenizer else "about "
        part.add_finding(
            "truncated",
            None,
            f"{how}{tokens['truncated_share']:.1%} of the examples are longer than model.max_length={asked.max_length} "
            "and lose their end; raise model.max_length, or split the examples",
        )
    if 0 < len(part.lines) < 50:
        part.add_finding("size", None, advise(part)[0])


def _why_nothing(part: Part, tokens: Tokens) -> str:
    if part.trained:
        return f"0 % of the tokens are trained on: no answer begins within model.max_length={tokens['max_length']}; raise it"
    return "0 % of the tokens are trained on: every assistant turn has weight 0; set weight 1 on the answers to train on"


def _add_reading(part: Part, reading: Reading) -> None:
    """Adds what was converted while the file was read."""
    bad = sum(part.left_out.values())
    refused = reading.too_many(bad, part.rows)
    if refused:
        part.add_finding("too_many_bad", None, refused)
    for finding in part.bad:
        part.add_finding("left_out", finding.line, f"{finding.message} [{finding.rule}]")
    part.counts["left_out"] += bad - len(part.bad)
    if said := unread(part.dropped):
        part.add_finding("dropped_keys", None, said)
    if chats := part.marked["chat_as_text"]:
        column = dict(reading.columns).get("text", "text")
        part.add_finding(
            "chat_as_text",
            part.firsts["chat_as_text"],
            f"{chats:,} of {len(part.lines):,} texts are chats with marks of their own, such as Human: and Assistant:, and are "
            f"trained on whole, questions too; data.columns={{transcript: {column}}} splits them into turns for the model's "
            "chat template",
        )
    asked_lines, answered = part.marked["turn of user"], part.marked["turn of assistant"]
    if asked_lines and answered and asked_lines + answered >= _TURNS * len(part.lines):
        part.add_finding(
            "turn_as_row",
            part.firsts["turn of user"],
            f"{asked_lines + answered:,} of {len(part.lines):,} texts begin with a speaker, such as User: or A:, and each is a "
            'row of its own, so no answer is learnt with its question; put each chat on one line (awk \'BEGIN {RS=""} '
            '{gsub(/\\n/, " "); print}\' OLD > NEW does it where blank lines divide the chats) and set '
            f"data.columns={{transcript: {dict(reading.columns).get('text', 'text')}}}",
        )
    if garbled := part.marked["garbled"]:
        part.add_finding(
            "garbled",
            part.firsts["garbled"],
            f"{plural(garbled, 'row')} with characters that a conversion has destroyed, such as \ufffd, or Ã¼ for ü: the file "
            "was read in the wrong encoding once; convert it again from its source: iconv -f ENCODING -t UTF-8 OLD > NEW",
        )
    if secrets := part.marked["secret"]:
        part.add_finding(
            "secret",
            part.firsts["secret"],
            f"{plural(secrets, 'row')} with what has the form of a key or a token (hf_..., sk-..., a private key); take it "
            "out, and revoke it if it is a real one",
        )
    if lists := part.marked["list_as_text"]:
        part.add_finding(
            "list_as_text",
            part.firsts["list_as_text"],
            f"{lists:,} answers are the text of a list or an object, as pandas writes one into a table; if one of its values "
            "is the answer, name it: data.columns={completion: COLUMN.0}",
        )
    if part.lost_nulls:
        part.add_finding(
            "lost_nulls",
            None,
            f"in {part.lost_nulls:,} rows, arguments of calls are null in a column of objects, where null and absent are the "
            "same; they are read as absent: write the arguments as JSON in a string to keep them",
        )
    for name, number in part.as_text.items():
        part.add_finding(
            "turns_as_text", None, f"{name}, read as the list that it stands for in {number:,} rows"
        )
    if not part.lines:
        return
    for said in without_effect(reading, part.mapped):
        part.add_finding("dropped_keys", None, said)
    if said := missing_columns(reading, part.mapped):
        part.add_finding("format", None, said)


def _add_mixtures(part: Part) -> None:
    kinds: Sequence[tuple[str, int]] = part.kinds.most_common()
    for kind, number in kinds[1:]:
        part.add_finding(
            "format",
            part.firsts[kind],
            f"a {SPOKEN[kind]} in a file of {SPOKEN[kinds[0][0]]}s ({number} of {len(part.lines)} rows); move them into a "
            "separate file",
        )
    formats = part.formats.most_common()
    if len(kinds) == 1 and len(formats) > 1:
        listed = ", ".join(f"{number} {name}" for name, number in formats)
        part.add_finding(
            "mixed_formats", part.firsts[formats[-1][0]], f"several formats in one file: {listed}"
        )
    without = part.systems[""]
    with_one = len(part.lines) - part.texts - without
    if with_one and without:
        part.add_finding(
            "mixed_systems",
            None,
            f"{with_one} rows have a system prompt and {without} have none; give one to all rows, or to none",
        )


def _add_same_answer(part: Part) -> None:
    """Adds an answer with which almost all chats end."""
    chats = len(part.answers)
    if chats < _FEWEST:
        return
    counts = Counter(part.answers)
    ((_, count),) = counts.most_common(1)
    if count / chats > (1 + 1 / len(counts)) / 2 or len(counts) == 1:
        part.add_finding(
            "same_answer",
            None,
            f"{count:,} of {chats:,} chats ({count / chats:.1%}) end with the same answer; add chats with other answers, or "
            "take some of these out",
        )


def advise(part: Part) -> list[str]:
    """Sentences about the number of rows, then about facts, then about e-mail addresses, then about refusals."""
    rows = len(part.lines)
    if not rows:
        return []
    said = next(text for end, text in STEPS if end is None or rows < end)
    if set(part.kinds) == {"text"} and part.trained == part.characters:
        said = "plain text teaches vocabulary and style from some million words on; for answers, train on chats after it"
    if set(part.kinds) == {"classified"}:
        many = f"{len(part.classes.counts):,} classes"
        return [f"{plural(rows, 'row')}: {many}: a class is learnt from some tens of different rows on"]
    lines = [f"{plural(rows, 'row')}: {said}"]
    lines.append(
        "facts that change, or that must be quoted, belong in retrieval (RAG): fine-tuning teaches behaviour"
    )
    if addresses := part.marked["address"]:
        lines.append(
            f"{plural(addresses, 'row')} ({addresses / rows:.1%}) with an e-mail address: a model can repeat what it was "
            "trained on"
        )
    if not part.kinds["text"]:
        if part.refusals:
            lines.append(
                f"{part.refusals:,} answers refuse or say that they do not know ({part.refusals / rows:.1%})"
            )
        else:
            lines.append(
                "no answer refuses or says that it does not know: the model may learn to answer everything"
            )
    return lines
