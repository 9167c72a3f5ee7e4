"""data.eval_fraction and data.max_samples: which rows are trained on, and which are held out."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from launcher.__main__ import main
from launcher.config import Config, SourceConfig
from launcher.data.examples import read_examples
from launcher.data.held_out import choose, group_values
from launcher.data.portion import Portion
from launcher.data.tokenizer import byte_tokenizer
from launcher.errors import ConfigError, DataError
from launcher.launching.data_gate import check_data, count_examples, data_paths
from launcher.train.data.sources import EVAL, TRAIN, chosen_sources
from launcher.train.data.tokens import key_of, make_rows

NOUNS = "lamp oil keeper gull storm rope ladder bell lens clock tide chart boat stove letter coat window"
WORDS = NOUNS.split(" ")


def text(number: int) -> str:
    return " ".join(random.Random(number).choices(WORDS, k=20))


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """100 rows, of which every tenth has a copy in capitals with other punctuation, and one with another last word."""
    rows = [{"text": text(number), "id": number // 8} for number in range(80)]
    for first in rows[:80:8]:
        one = first["text"]
        rows += [{**first, "text": f"{one.upper()}!"}, {**first, "text": f"{one.rpartition(' ')[0]} pier"}]
    random.Random(3).shuffle(rows)
    return write(tmp_path / "rows.jsonl", rows)


@pytest.fixture
def config_of(compose: Callable[..., Config], tmp_path: Path) -> Callable[..., Config]:
    """The configuration of a run on that file."""

    def config_of(file: Path, **data: Any) -> Config:
        keys = {"path": file, "eval_path": None, **data}
        values = [f"data.{name}={'null' if value is None else value}" for name, value in keys.items()]
        return compose("+experiment=tiny", "cluster=local", f"cache_dir={tmp_path}/cache", *values)

    return config_of


def texts_of(name: str, paths: Any, config: Config) -> list[str]:
    return [one["text"] for source in chosen_sources(name, paths, config) for _, one in source.examples()]


@pytest.mark.parametrize("copies", [1, 60], ids=["compared by sets", "compared by sketches"])
def test_a_held_out_share_has_its_size_and_no_near_copy_on_the_other_side(tmp_path, config_of, file, copies):
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    if copies > 1:
        rows += [{"text": f"{text(1000 + number)} {text(number + 9000)}"} for number in range(100 * copies)]
        write(file, rows)
    config = config_of(file, eval_fraction=0.1)
    train, held = texts_of(TRAIN, str(file), config), texts_of(EVAL, str(file), config)
    assert (len(train), len(held)) == (len(rows) * 9 // 10, len(rows) // 10)
    assert sorted([*train, *held]) == sorted(row["text"] for row in rows)

    def beginning(one: str) -> str:
        return " ".join(one.lower().split()[:19])

    assert not {beginning(one) for one in train} & {beginning(one) for one in held}


def test_the_seed_and_the_content_choose_and_not_the_order_of_the_rows(config_of, file):
    config = config_of(file, eval_fraction=0.1)
    held = texts_of(EVAL, str(file), config)
    lines = file.read_text().splitlines()
    turned = file.with_name("turned.jsonl")
    turned.write_text("\n".join(reversed(lines)))
    assert sorted(texts_of(EVAL, str(turned), config)) == sorted(held)
    config.seed += 1
    assert sorted(texts_of(EVAL, str(file), config)) != sorted(held)


def test_rows_of_one_group_stay_together(config_of, file):
    config = config_of(file, eval_fraction=0.2, eval_group="id")
    ids = {json.loads(line)["text"]: json.loads(line)["id"] for line in file.read_text().splitlines()}
    train, held = ({ids[one] for one in texts_of(name, str(file), config)} for name in (TRAIN, EVAL))
    assert held and not train & held


@pytest.mark.parametrize("rows", [120, 9000], ids=["compared by sets", "compared by sketches"])
@pytest.mark.parametrize("one_line", [False, True], ids=["lines", "one line"])
def test_neither_a_group_nor_near_copies_are_split_where_groups_share_copies(
    tmp_path: Path, config_of: Callable[..., Config], rows: int, one_line: bool
):
    drawn = random.Random(5)
    texts = [" ".join(drawn.choices(WORDS, k=20)) + f" {number}" for number in range(rows)]
    for _ in range(rows // 20):  # a copy with another last word, in another group most often
        one, other = drawn.sample(range(rows), 2)
        texts[one] = f"{texts[other].rpartition(' ')[0]} {one}"
    values = [{"text": text, "author": f"a{drawn.randrange(rows // 3)}"} for text in texts]
    file = write(tmp_path / "rows.jsonl", values)
    if one_line:
        file = tmp_path / "rows.json"
        file.write_text(json.dumps(values))
    config = config_of(file, eval_fraction=0.2, eval_group="author")
    author = {row["text"]: row["author"] for row in values}
    train, held = texts_of(TRAIN, str(file), config), texts_of(EVAL, str(file), config)
    assert len(train) + len(held) == rows and len(held) == rows // 5
    assert not {author[one] for one in train} & {author[one] for one in held}
    assert not {one.rpartition(" ")[0] for one in train} & {one.rpartition(" ")[0] for one in held}


def test_data_check_tells_which_values_of_a_group_stay_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    rows = [{"text": text(number), "author": f"a{number % 10}"} for number in range(40)]
    rows.append({"text": f"{text(3).rpartition(' ')[0]} pier", "author": "a4"})  # a near copy of a row of a3
    file = write(tmp_path / "rows.jsonl", rows)
    words = ["data", "check", str(file), "--eval-fraction", "0.2", "--eval-group", "author"]
    assert main([*words, "--json"]) == 0
    used = json.loads(capsys.readouterr().out)["used"]
    assert (used["groups"], used["values"], used["joined"], used["largest"]) == (9, 10, 2, 9)
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "9 groups of near copies, or of one author, stay on one side (the largest has 9 rows)" in said
    assert "2 of 10 values of author stay with another value" in said


def test_the_launch_counts_the_rows_that_the_ranks_read(tmp_path, config_of, file):
    config = config_of(file, eval_fraction=0.05, max_samples=60)
    counted = count_examples(config, check_data(config))
    assert (counted["rows"], counted["eval_rows"]) == (57, 3)
    facts = {}
    for name in (TRAIN, EVAL):
        folder = tmp_path / name
        folder.mkdir()
        facts[name] = make_rows(folder, name, str(file), byte_tokenizer(), config, lambda count: None)
    assert [facts[name]["documents"] for name in (TRAIN, EVAL)] == [57, 3]
    keys = [key_of(name, str(file), byte_tokenizer(), config, tmp_path) for name in (TRAIN, EVAL)]
    assert keys[0] != keys[1]


def test_several_sources_keep_their_weights_and_each_a_row(tmp_path, config_of, file):
    other = write(tmp_path / "other.jsonl", [{"text": text(500)}])
    config = config_of(file, path=None, eval_fraction=0.1)
    config.data.sources = [SourceConfig(path=str(file), weight=2.0), SourceConfig(path=str(other))]
    paths = data_paths(config).training
    assert [source.weight for source in chosen_sources(TRAIN, paths, config)] == [2.0, 1.0]
    assert [source.weight for source in chosen_sources(EVAL, paths, config)] == [1.0]


def test_max_samples_alone_limits_each_set(config_of, file):
    config = config_of(file, max_samples=7, eval_max_samples=4, eval_path=str(file))
    assert len(texts_of(TRAIN, str(file), config)) == 7
    assert len(texts_of(EVAL, str(file), config)) == 4
    counted = count_examples(config, check_data(config))
    assert (counted["rows"], counted["eval_rows"]) == (7, 4)


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        ({"eval_fraction": 0.05, "eval_path": "eval.jsonl"}, "are both given; add data.eval_path=null"),
        ({"eval_fraction": 5.0}, "data.eval_fraction=5.0 must be above 0 and below 1: 0.05 holds out 5 %"),
        ({"eval_fraction": 0.0}, "data.eval_fraction=0.0 must be above 0"),
        ({"eval_group": "id"}, "data.eval_group=id needs data.eval_fraction"),
        ({"max_samples": 0}, "data.max_samples=0 must be at least 1"),
        ({"max_samples": 1, "eval_fraction": 0.5}, "data.max_samples=1 must be at least 2"),
        ({"eval_max_samples": -1}, "data.eval_max_samples=-1 must be at least 1"),
    ],
)  # fmt: skip
def test_values_that_cannot_be_used_are_refused(config_of, file, data, wrong):
    with pytest.raises(ConfigError, match="data") as refused:
        data_paths(config_of(file, **data))
    assert wrong in str(refused.value)


def test_rows_that_all_belong_together_and_unknown_columns_are_refused(tmp_path, config_of, file):
    same = write(tmp_path / "same.jsonl", [{"text": text(1)}] * 5)
    with pytest.raises(DataError, match="all 5 rows belong together"):
        choose([read_examples(same)], Portion(eval_fraction=0.2), lambda number, line: None)
    config = config_of(file, eval_fraction=0.2, eval_group="idd")
    with pytest.raises(DataError, match="unknown column 'idd'; did you mean id"):
        count_examples(config, check_data(config))
    mixed = tmp_path / "mixed.json"
    mixed.write_text('[{"text": "a", "id": 1},\n{"text": "b", "id": 2}, {"text": "c", "id": 3}]')
    with pytest.raises(DataError, match=r"data\.eval_group=id: .*mixed\.json, line 2 holds several rows"):
        group_values(mixed, "id")


def test_data_check_says_what_a_run_would_hold_out(file, capsys):
    assert main(["data", "check", str(file), "--json", "--eval-fraction", "0.05", "--max-samples", "60"]) == 0
    used = json.loads(capsys.readouterr().out)["used"]
    assert used == {"train": 57, "held_out": 3, "groups": 53, "largest": 3, "values": None, "joined": None}
    assert main(["data", "check", str(file), "--eval-fraction", "5"]) == 2
    assert "must be above 0 and below 1" in capsys.readouterr().err


def test_rows_that_are_all_alike_can_be_held_out_by_exact_copies(
    tmp_path: Path, config_of: Callable[..., Config], capsys: pytest.CaptureFixture[str]
):
    alike = [{"text": f"{text(1)} {number // 2}"} for number in range(20)]
    file = write(tmp_path / "alike.jsonl", alike)
    with pytest.raises(
        DataError, match=r"all 20 rows belong together, as each is a near copy.* data\.eval_copies=exact"
    ):
        choose([read_examples(file)], Portion(eval_fraction=0.1), lambda *_: None)
    for words in (["--eval-fraction", "0.2", "--eval-copies", "exact"], ["--eval-fraction", "0.2"]):
        assert main(["data", "check", str(file), "--json", *words]) == (0 if "exact" in words else 1)
    assert "data.eval_copies=exact" in capsys.readouterr().err
    config = config_of(file, eval_fraction=0.2, eval_copies="exact")
    held, trained = (texts_of(name, str(file), config) for name in (EVAL, TRAIN))
    assert len(held) == 4 and len(trained) == 16 and not set(held) & set(trained)


def test_eval_copies_without_a_share_is_refused(file: Path, config_of: Callable[..., Config]):
    with pytest.raises(ConfigError, match=r"data\.eval_copies=exact needs data\.eval_fraction"):
        check_data(config_of(file, eval_copies="exact"))
