"""What bad input gets: an error with file, row and value, a hint, an exit code; nothing written and nothing lost."""

import contextlib
import csv
import gzip
import json
import os
import resource
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from alloop import ingest
from alloop.project import Project
from tests.command import alloop, change, done
from tests.conftest import sentences

WORDS = [
    "no",
    "null",
    "1e5",
    "NA",
    "nan",
    "true",
    "007",
    "1.0",
    "None",
    "~",
    "yes",
    "2024-01-01",
    "Infinity",
    "-",
    "[]",
]
Write = Callable[..., str]


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def rows(*more: tuple[str, str]) -> list[tuple[str, str]]:
    return [*sentences(), *more]


def texts() -> list[tuple[str]]:
    return [(text,) for text, _ in sentences()]


def assert_refused(words: list[object], says: list[str], code: int = 1) -> None:
    """The command fails with all of these words on stderr, prints no data, and leaves every file as it was."""
    before = all_files()
    ran = alloop(*words)
    assert ran.code == code, ran.err
    assert ran.out == ""
    first, *rest = [line for line in ran.err.splitlines() if not line.startswith("note: ")]
    assert first.startswith("error: ")
    assert [line[:6] for line in rest] == ["hint: "] * len(rest)
    for one in says:
        assert one in ran.err, ran.err
    assert all_files() == before


def all_files() -> dict[str, bytes]:
    """Every file and directory here; of a database its rows, since reading one makes and removes a log."""
    return {
        str(path): dump(path) if path.suffix == ".db" else path.read_bytes() if path.is_file() else b""
        for path in Path().rglob("*")
        if path.name != ".lock" and not path.name.endswith(("-wal", "-shm"))
    }


def dump(path: Path) -> bytes:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return "\n".join(connection.iterdump()).encode()


INIT = ["init", "p", "--labels", "animal,vehicle", "--data"]


def test_a_missing_file_is_named_with_the_nearest(write_csv: Write) -> None:
    write_csv("pool.csv", ["text"], texts())
    assert_refused([*INIT, "pol.csv"], ["error: there is no file pol.csv", "hint: did you mean pool.csv?"])


def test_an_unreadable_encoding_is_named_with_line_and_byte() -> None:
    Path("latin.csv").write_bytes("text,label\nun chat,animal\nun café,animal\n".encode("latin-1"))
    assert_refused([*INIT, "latin.csv"], ["error: latin.csv is not UTF-8: line 3", "0xe9", "hint: iconv -f"])


@pytest.mark.parametrize(
    ("option", "value"), [("--text-column", "txt"), ("--label-column", "lable"), ("--metadata-column", "sorce")]
)
def test_a_wrong_column_gets_the_list_and_the_nearest(write_csv: Write, option: str, value: str) -> None:
    write_csv("pool.csv", ["text", "label", "source"], [(*row, "mail") for row in rows()])
    near = {"txt": "text", "lable": "label", "sorce": "source"}[value]
    assert_refused([*INIT, "pool.csv", option, value], ["pool.csv", value, f"did you mean {near}"[:12], near])


def test_empty_texts_are_left_out_counted_and_shown(write_csv: Write) -> None:
    write_csv("pool.csv", ["text", "label"], rows(("", "animal"), (" \t ", "vehicle")))
    ran = done(*INIT, "pool.csv")
    assert "note: pool.csv: 2 rows without text were left out (row 97, 98)" in ran.err
    assert "Read 96 texts" in ran.err


def test_a_file_of_empty_texts_alone_is_refused(write_csv: Write) -> None:
    write_csv("pool.csv", ["text", "label"], [(" ", "animal")])
    assert_refused([*INIT, "pool.csv"], ["pool.csv: no row has a text", "--text-column"])


def test_an_unknown_label_is_named_with_its_row_and_the_nearest(write_csv: Write) -> None:
    write_csv("pool.csv", ["text", "label"], rows(("a canoe", "vehicel")))
    says = ['pool.csv, row 97 (line 98): unknown label "vehicel"', "did you mean vehicle?"]
    assert_refused([*INIT, "pool.csv"], says)


def test_adding_an_unknown_label_changes_nothing(write_csv: Write) -> None:
    write_csv("pool.csv", ["text", "label"], rows())
    write_csv("more.csv", ["text", "label"], [("a canoe", "vehicle"), ("a raft", "vehicel")])
    done(*INIT, "pool.csv")
    assert_refused(["add", "p", "more.csv"], ['more.csv, row 2 (line 3): unknown label "vehicel"'])


@pytest.mark.parametrize("labels", ["animal", "animal,animal", "animal,,vehicle"])
def test_labels_that_are_no_choice_are_refused(write_csv: Write, labels: str) -> None:
    write_csv("pool.csv", ["text"], texts())
    assert_refused(
        ["init", "p", "--data", "pool.csv", "--labels", labels], [labels.split(",")[0], "--labels first,second"]
    )


def test_a_label_column_with_one_label_is_no_choice(write_csv: Write) -> None:
    write_csv("pool.csv", ["text", "label"], [(text, "animal") for text, _ in rows()])
    assert_refused(["init", "p", "--data", "pool.csv"], ["pool.csv: column 'label' has only one label, 'animal'"])


def test_a_text_in_pool_and_test_is_named(write_csv: Write) -> None:
    write_csv("pool.csv", ["text", "label"], rows())
    write_csv("test.csv", ["text", "label"], [("a new cat", "animal"), ("the cat sleeps here ", "animal")])
    says = ["test.csv, row 2: this text is in the pool texts already", "the cat sleeps here"]
    assert_refused([*INIT, "pool.csv", "--test", "test.csv"], says)


def test_adding_a_text_of_the_test_file_is_refused(write_csv: Write) -> None:
    write_csv("pool.csv", ["text", "label"], rows()[10:])
    write_csv("test.csv", ["text", "label"], rows()[:10])
    write_csv("more.csv", ["text"], [("a raft",), (rows()[3][0],)])
    done(*INIT, "pool.csv", "--test", "test.csv")
    assert_refused(["add", "p", "more.csv"], ["more.csv, row 2: this text is in the test texts already"])


def test_a_held_out_text_that_comes_again_stays_held_out(write_csv: Write) -> None:
    write_csv("pool.csv", ["text"], texts())
    write_csv("more.csv", ["text"], [row[:1] for row in rows(("a raft", ""))])
    done(*INIT, "pool.csv", "--holdout", 30)
    before = set(Project.open(Path("p")).store.test_ids())
    ran = done("add", "p", "more.csv")
    assert "Read 1 texts; 96 exact duplicates, stored once" in ran.err
    assert set(Project.open(Path("p")).store.test_ids()) == before


WRONG_CONFIGS = [
    ("batch = 25", "btach = 25", ["there is no key 'round.btach'", "did you mean 'batch'?"]),
    ("[round]", "[rond]", ["there is no key 'rond'", "did you mean 'round'?"]),
    ("batch = 25", 'batch = "25"', ['round.batch: "25" is not a whole number', "batch = 25"]),
    ("batch = 25", "batch = 0", ["round.batch: 0 is less than 1"]),
    ('"auto"', '"magrin"', ["round.strategy: there is no strategy named 'magrin'", "mean 'margin'?"]),
    ('"lora"', '"lorra"', ["model.tuner: there is no tuner named 'lorra'", "'lora'"]),
    ('"terminal"', '"terminl"', ["annotate.with: there is no annotator named 'terminl'", "'terminal'"]),
    ("[evaluate]", "[options.lora]\nrnk = 8", ["options.lora: tuner 'lora' has no option 'rnk'", "'rank'"]),
    ("[evaluate]", '[options.lora]\nrank = "8"', ["options.lora: tuner 'lora': rank = '8' is not a whole"]),
    ("[evaluate]", "[options.lorra]", ["[options.lorra] belongs to no plug-in", "did you mean 'lora'?"]),
    ('["animal", "vehicle"]', "[1, 2]", ['task.labels: label 1 is not a text; put it in quotes: "1"']),
    ('["animal", "vehicle"]', '["animal"]', ["task.labels: two labels are needed at least, here is one"]),
    ('["animal", "vehicle"]', "[animal, vehicle]", ["is not TOML: invalid value", 'labels = ["bug", "praise"]']),
    ('kind = "single"', 'kind = "singel"', ['task.kind: "singel" is not one of: single, multi', '"single"']),
]


@pytest.mark.parametrize(("before", "after", "says"), WRONG_CONFIGS)
def test_a_wrong_config_is_named_with_its_line_before_anything_runs(
    write_csv: Write, before: str, after: str, says: list[str]
) -> None:
    write_csv("pool.csv", ["text"], texts())
    done(*INIT, "pool.csv")
    change(Path("p/alloop.toml"), {before: after})
    changed = Path("p/alloop.toml").read_text().splitlines()
    line = next(number for number, content in enumerate(changed, 1) if after.splitlines()[0] in content)
    assert_refused(["round", "p"], [f"p/alloop.toml, line {line}", *says])


def test_a_batch_larger_than_the_pool_is_refused_before_anything_runs(write_csv: Write) -> None:
    write_csv("pool.csv", ["text"], texts())
    done(*INIT, "pool.csv")
    change(Path("p/alloop.toml"), {"batch = 25": "batch = 200"})
    assert_refused(["round", "p"], ["round.batch is 200, the pool has 96 texts", "alloop add p FILE"])


def test_init_from_a_wrong_config_names_its_line_and_makes_nothing(write_csv: Write) -> None:
    write_csv("pool.csv", ["text"], texts())
    Path("mine.toml").write_text('[task]\nlabels = ["animal", "vehicle"]\n[round]\nstrategy = "magrin"\n')
    says = ["mine.toml, line 4: round.strategy: there is no strategy named 'magrin'", "did you mean 'margin'?"]
    assert_refused(["init", "p", "--from", "mine.toml", "--data", "pool.csv"], says)


def test_init_from_a_config_that_is_not_there_names_the_nearest(write_csv: Write) -> None:
    Path("laptop.toml").touch()
    assert_refused(
        ["init", "p", "--from", "labtop.toml"], ["there is no config labtop.toml", "did you mean laptop.toml?"]
    )
    assert_refused(["init", "p", "--from", "."], [". is a directory without alloop.toml", "laptop.toml"])


def test_a_batch_larger_than_the_pool_is_refused_at_init(write_csv: Write) -> None:
    write_csv("pool.csv", ["text"], texts()[:20])
    assert_refused([*INIT, "pool.csv"], ["round.batch is 25, the pool has 20 texts", "--batch 20"])
    assert_refused(
        [*INIT, "pool.csv", "--holdout", "20"], ["evaluate.holdout is 20, there are 20 texts", "--holdout 4"]
    )


def test_init_does_not_override_a_config_that_is_there(write_csv: Write) -> None:
    write_csv("pool.csv", ["text"], texts())
    Path("p").mkdir()
    Path("p/alloop.toml").write_text('[task]\nlabels = ["animal", "vehicle"]\n')
    assert_refused([*INIT, "pool.csv"], ["p/alloop.toml is there already", "alloop init p"])
    done("init", "p", "--data", "pool.csv")
    assert Path("p/alloop.toml").read_text() == '[task]\nlabels = ["animal", "vehicle"]\n'


def test_a_second_init_leaves_the_project_alone(write_csv: Write) -> None:
    write_csv("pool.csv", ["text"], texts())
    done(*INIT, "pool.csv")
    assert_refused([*INIT, "pool.csv"], ["p is a project already", "alloop add p FILE"])


def test_init_makes_no_parents_when_it_fails(write_csv: Write) -> None:
    assert_refused(["init", "a/b/c", "--labels", "x,y", "--data", "nope.csv"], ["there is no file nope.csv"])


def test_a_directory_that_is_no_project_says_how_to_make_one() -> None:
    assert_refused(["round", "p"], ["p is not a project", "alloop init p --data FILE"])


def test_a_file_where_the_project_should_be_is_refused(write_csv: Write) -> None:
    write_csv("pool.csv", ["text"], texts())
    assert_refused(["init", "pool.csv", "--data", "pool.csv"], ["pool.csv is a file, not a directory"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], ["Usage: alloop"]),
        (["rond"], ["no such command 'rond'"]),
        (["init"], ["missing argument 'DIR'", "alloop init --help"]),
        (["round", "--nwo"], ["no such option: --nwo", "alloop round --help"]),
        (["run", "--rounds", "0"], ["--rounds", "alloop run --help"]),
        (["run"], ["say when to stop", "--rounds N"]),
        (["export"], ["say what to export", "--labels FILE"]),
        (["remove", "p"], ["say which texts", "--id ID"]),
        (["plugins", "strategy"], ["there is no family 'strategy'", "did you mean 'strategies'?"]),
        (["predict", "a", "b", "c"], ["one project and one file, not 3 arguments"]),
    ],
)
def test_a_command_line_that_makes_no_sense_exits_2(words: list[object], says: list[str]) -> None:
    ran = alloop(*words)
    assert (ran.code, ran.out) == (2, "")
    assert all(one in ran.err for one in says), ran.err


def test_the_hub_out_of_reach_is_one_clear_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(source: str) -> None:
        raise ConnectionError("Couldn't reach 'who/what' on the Hub")

    monkeypatch.setattr(ingest, "_typed_dataset", unreachable)
    assert_refused(
        [*INIT, "hf:who/what"], ["hf:who/what", "Couldn't reach", "hint: check the name, the split and the network"]
    )


def test_a_database_of_a_newer_alloop_is_left_alone(write_csv: Write) -> None:
    write_csv("pool.csv", ["text"], texts())
    done(*INIT, "pool.csv")
    with contextlib.closing(sqlite3.connect("p/alloop.db")) as connection, connection:
        connection.execute("INSERT INTO _sqlite_migrations VALUES (NULL, 'alloop', 'm999_from_the_future', 'today')")
    for command in ("status", "round", "report", "doctor"):
        assert_refused([command, "p"], ["written by a newer alloop", "m999_from_the_future", "pip install --upgrade"])


def test_a_file_that_is_no_database_is_named(write_csv: Write) -> None:
    write_csv("pool.csv", ["text"], texts())
    done(*INIT, "pool.csv")
    for leftover in Path("p").glob("alloop.db*"):
        leftover.unlink()
    Path("p/alloop.db").write_bytes(b"this is not SQLite" * 100)
    ran = alloop("status", "p")
    assert ran.code == 1
    assert "error: p/alloop.db is not a database of alloop" in ran.err
    assert Path("p/alloop.db").read_bytes() == b"this is not SQLite" * 100


@pytest.mark.slow
def test_a_base_that_is_no_model_is_named(write_csv: Write) -> None:
    write_csv("pool.csv", ["text"], texts())
    Path("empty").mkdir()
    done(*INIT, "pool.csv")
    change(Path("p/alloop.toml"), {'"minilm"': '"empty"', '"lora"': '"features"'})
    ran = alloop("round", "p")
    assert ran.code == 1
    assert "empty" in ran.err
    assert "Traceback" not in ran.err
    assert "--abandon" in ran.err
    assert Project.open(Path("p")).store.counts()["pool"] == 96


def test_a_damaged_model_is_made_again(make_project: Callable[..., Project]) -> None:
    project = make_project("p")
    done("run", "p", "--rounds", 2)
    (weights,) = Path("p/rounds/0002").glob("train-*/weights.safetensors")
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-10])
    first = done("predict", "p", "-", stdin="the cat sleeps here\n")
    assert weights.read_bytes() == whole
    weights.unlink()
    assert done("predict", "p", "-", stdin="the cat sleeps here\n").out == first.out
    project.store.close()


@contextlib.contextmanager
def small_disk(path: Path, kilobytes: int) -> Iterator[None]:
    """A file system of this size where this process may mount one; else no file may grow beyond it."""
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", path], capture_output=True)
    if mounted.returncode == 0:
        try:
            yield
        finally:
            subprocess.run(["umount", "-l", path], check=True)
        return
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1024, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_at_init_leaves_nothing(write_csv: Write) -> None:
    write_csv("pool.csv", ["text"], [(f"{i} {text * 30}",) for i in range(20) for text, _ in sentences()])
    with small_disk(Path("disk"), 400):
        ran = alloop("init", "disk/p", "--labels", "animal,vehicle", "--data", "pool.csv")
        assert ran.code == 1, ran.err
        assert ran.err.startswith("error: ")
        assert "hint: " in ran.err
        assert not list(Path("disk").iterdir())


def test_a_full_disk_loses_nothing_and_the_same_command_goes_on(make_project: Callable[..., Project]) -> None:
    project = make_project("before")
    project.store.close()
    size_kb = sum(path.stat().st_size for path in Path("before").rglob("*")) // 1024
    with small_disk(Path("disk"), size_kb + 90):
        subprocess.run(["cp", "-r", "before", "disk/p"], check=True)
        room = Path("disk/ballast")
        ran = alloop("run", "disk/p", "--rounds", 9)
        while ran.code == 0 and not room.exists():  # a disk that was just large enough
            with contextlib.suppress(OSError):
                room.write_bytes(os.urandom(1 << 20))
            ran = alloop("run", "disk/p", "--rounds", 9)
        assert ran.code == 1, ran.err
        assert "error: " in ran.err
        assert "hint: " in ran.err
        assert "Traceback" not in ran.err
        with contextlib.closing(sqlite3.connect("disk/p/alloop.db")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert connection.execute("SELECT count(*) FROM texts").fetchone() == (96,)
        subprocess.run(["cp", "-r", "disk/p", "after"], check=True)
    done("run", "after", "--rounds", 1)


def test_a_text_of_a_megabyte_goes_through(write_csv: Write) -> None:
    long = "the cat sleeps " + "on and on " * 100_000
    write_csv("pool.csv", ["text", "label"], rows((long, "animal")))
    done(*INIT, "pool.csv", "--with", "simulated", "--batch", 96)
    change(Path("p/alloop.toml"), {'"lora"': '"tfidf"', '"kmeans"': '"random"'})
    done("run", "p", "--rounds", 3)
    done("export", "p", "--labels", "out.csv")
    csv.field_size_limit(1 << 24)
    assert long in [row["text"] for row in read_csv("out.csv")]
    assert done("predict", "p", "out.csv").out.count("\n") > 97


STRANGE = {
    "nul": "a cat\0 and a dog",
    "right-to-left": "שלום \u202eabc\u202c مرحبا",
    "emoji": "👩‍👩‍👧‍👦 family 🏳️‍🌈 🇺🇸",
    "combining": "e\u0301a\u0300 Z\u0351\u0343",
    "quotes": 'he said "no, never"\nand left\ttoday',
    "astral": "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𓀀",
    "separators": "a\u2028b\u0085c\x1cd",
}


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".json", ".parquet", ".csv.gz"])
def test_texts_and_labels_stay_the_strings_they_are(suffix: str, tmp_path: Path) -> None:
    texts = [*WORDS, *STRANGE.values(), *(f"{word} {i}" for word in WORDS for i in range(4))]
    labels = ["no", "null", "1e5", "NA", "nan"]
    table = [{"text": text, "label": labels[i % 5], "external_id": f"00{i}"} for i, text in enumerate(texts)]
    source = f"in{suffix}"
    write_table(Path(source), table)
    done("init", "p", "--data", source, "--labels", ",".join(labels), "--with", "simulated", "--batch", 40)
    change(Path("p/alloop.toml"), {'"lora"': '"tfidf"', '"kmeans"': '"random"'})
    done("run", "p", "--until-labels", len(texts))
    done("round", "p", "--no-push")
    for target in ("out.csv", "out.tsv", "out.jsonl", "out.parquet"):
        done("export", "p", "--labels", target)
        columns = ingest.inspect(target, text=["text"], label="label", id="external_id")
        found = {row.text: (row.labels, row.external_id) for row in ingest.read(target, columns)}
        assert found == {row["text"]: ((row["label"],), row["external_id"]) for row in table}, target


def write_table(path: Path, table: list[dict[str, str]]) -> None:
    names = list(table[0])
    if path.suffix == ".parquet":
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(table), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in table), encoding="utf-8")
    elif path.suffix == ".json":
        path.write_text(json.dumps(table), encoding="utf-8")
    else:
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "wt", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",", quoting=csv.QUOTE_ALL)
            writer.writerows([names, *(row.values() for row in table)])


def read_csv(path: str) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
