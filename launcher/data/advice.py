"""Advice for a person: what a number of rows can teach, and what would work instead of a fine-tune.

Sources: OpenAI's fine-tuning guide (at least 10 rows; clear gains from 50 to 100); Zhou et al., LIMA (arXiv 2305.11206:
1,000 selected rows give a style of answering); Gekhman et al. (arXiv 2405.05904: facts new to the model are learnt late
and raise hallucination); Ovadia et al. (arXiv 2312.05934: retrieval beats fine-tuning for facts).
"""

from launcher.data.part import Part
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


def advise(part: Part) -> list[str]:
    """Sentences about the number of rows, then about facts, then about refusals."""
    rows = len(part.lines)
    said = next(text for end, text in STEPS if end is None or rows < end)
    if set(part.kinds) == {"text"}:
        said = "plain text teaches vocabulary and style from some million words on; for answers, train on chats after it"
    if set(part.kinds) == {"classified"}:
        said = f"{len(part.classes.counts):,} classes: a class is learnt from some tens of different rows on"
    lines = [f"{plural(rows, 'row')}: {said}"]
    if set(part.kinds) == {"classified"}:
        return lines
    lines.append(
        "facts that change, or that must be quoted, belong in retrieval (RAG): fine-tuning teaches behaviour"
    )
    if rows and not part.kinds["text"]:
        if part.refusals:
            lines.append(
                f"{part.refusals:,} answers refuse or say that they do not know ({part.refusals / rows:.1%})"
            )
        else:
            lines.append(
                "no answer refuses or says that it does not know: the model may learn to answer everything"
            )
    return lines
