import json
import socket

import numpy as np
import pytest

from alloop.augmenters import Surroundings, _endpoint, augmenters
from alloop.augmenters.llm import children, kept
from alloop.checks import check_augmenter, check_plugin
from alloop.errors import ConfigError, RemoteError
from alloop.files import read_lines
from tests.augmenters.chat import completion, failure, parent, serving
from tests.hostile import HOSTILE

KEY = "sk-test-0123456789abcdef"
LABELS = {
    "the card was declined": ("card",),
    "my card is blocked": ("card",),
    "card? no card!": ("card",),
    "where is my money": ("transfer",),
    "a card and money": ("card", "transfer"),
    "nothing of it": (),
}
TEXT = next(iter(LABELS))


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(_endpoint, "WAITS_S", (0.0,))
    monkeypatch.setattr(_endpoint, "LONGEST_WAIT_S", 0.0)


@pytest.fixture
def writer(tmp_path):
    """An augmenter that knows LABELS and keeps its records in the test's directory."""

    def make(url="http://127.0.0.1:9/v1", labels=LABELS, descriptions=None, where="llm", **options):
        around = Surroundings("multi", labels, list, tmp_path / where, descriptions or {})
        return augmenters.build("llm", url=url, model="tiny", **options).prepared(around)

    return make


def made(augmenter, *texts, n=1, seed=0):
    return augmenter(texts or (TEXT,), n, np.random.default_rng(seed))


def records(tmp_path, where="llm"):
    return list(read_lines(tmp_path / where / "requests.jsonl"))


def echo(number, body):
    """A paraphrase that says which text and which draw it is of."""
    return completion(json.dumps([f"other words for {parent(body)}, by {body['seed']}"]))


# ---- what is asked, and what becomes of the answer ------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["paraphrase", "write"])
def test_it_keeps_the_contract_of_augmenters(mode):
    with serving(echo) as chat:
        check_augmenter(augmenters.build("llm", url=chat.url, model="tiny", mode=mode))
    assert chat.asked


def test_a_paraphrase_is_asked_for_and_every_request_is_written_down(writer, tmp_path):
    with serving(echo) as chat:
        found = made(writer(chat.url, price_per_million_in=10, price_per_million_out=50), TEXT)
    seed = chat.asked[0]["seed"]
    assert found == [[f"other words for {TEXT}, by {seed}"]]
    (record,) = records(tmp_path)
    assert record["request"] == chat.asked[0]
    assert record["request"]["model"] == "tiny"
    assert json.loads(record["answer"]) == found[0]
    assert (record["tokens_in"], record["tokens_out"], record["estimated"]) == (100, 20, False)
    assert record["cost"] == pytest.approx((100 * 10 + 20 * 50) / 1e6)
    assert (record["attempt"], record["error"]) == (1, None)
    assert record["time"].startswith("20")
    assert "authorization" not in chat.headers[0]


def test_a_new_text_is_asked_for_with_examples_of_its_label_and_what_the_label_means(writer):
    with serving(lambda number, body: completion('["they swallowed my card"]')) as chat:
        found = made(
            writer(chat.url, mode="write", examples=2, descriptions={"card": "about plastic", "transfer": "x"})
        )
    assert found == [["they swallowed my card"]]
    asked = chat.asked[0]["messages"][1]["content"]
    assert '"card" means: about plastic' in asked
    assert "transfer" not in asked
    examples = json.loads(asked[asked.rindex("[") :])
    assert examples[0] == TEXT
    assert len(examples) == 2
    assert LABELS[examples[1]] == ("card",)


def test_a_text_to_which_no_label_applies_is_no_example_of_anything(writer):
    with serving(echo) as chat:
        assert made(writer(chat.url, mode="write"), "nothing of it") == [[]]
    assert chat.asked == []


def test_only_labelled_texts_are_sent(writer):
    with serving(echo) as chat:
        assert made(writer(chat.url), "a test text", TEXT)[0] == []
        assert made(writer(chat.url, mode="write"), "a test text") == [[]]
        made(writer(chat.url, mode="write", where="other"), TEXT)
    assert "a test text" not in chat.sent
    assert len(chat.asked) == 2


def test_several_are_asked_for_at_once_and_no_more_are_kept(writer):
    with serving(lambda number, body: completion('["one way", "another way", "a third way"]')) as chat:
        assert made(writer(chat.url), n=2) == [["one way", "another way"]]
    assert "2 paraphrase" in chat.asked[0]["messages"][1]["content"]


# ---- paid once ------------------------------------------------------------------------------------------------------


def test_the_same_request_is_never_paid_for_twice_also_by_another_process(writer, tmp_path):
    with serving(echo) as chat:
        first = made(writer(chat.url), *LABELS)
        before = (tmp_path / "llm" / "requests.jsonl").read_bytes()
        assert made(writer(chat.url, max_requests=1, timeout_s=3, retries=0), *LABELS) == first
    assert len(chat.asked) == len(LABELS)
    assert (tmp_path / "llm" / "requests.jsonl").read_bytes() == before


def test_a_round_killed_halfway_pays_for_the_rest_only_and_has_the_same_children(writer, tmp_path):
    with serving(echo) as chat:
        whole = made(writer(chat.url, where="whole"), *LABELS)
        asked = len(chat.asked)
        path = tmp_path / "whole" / "requests.jsonl"
        lines = path.read_bytes().splitlines(keepends=True)
        (tmp_path / "llm").mkdir()
        (tmp_path / "llm" / "requests.jsonl").write_bytes(b"".join(lines[:3]) + lines[3][:40])  # torn by a power cut
        assert made(writer(chat.url), *LABELS) == whole
        assert len(chat.asked) == asked + len(LABELS) - 3
    assert len(records(tmp_path)) == len(LABELS)


def test_other_examples_are_no_other_question_since_labels_come_every_round(writer):
    more = {**LABELS, "another card": ("card",), "cards": ("card",)}
    with serving(lambda number, body: completion('["they swallowed my card"]')) as chat:
        first = made(writer(chat.url, mode="write", examples=3))
        assert made(writer(chat.url, mode="write", examples=3, labels=more)) == first
        assert len(chat.asked) == 1
        made(writer(chat.url, mode="write", examples=3, labels=LABELS | {TEXT: ("transfer",)}))
        assert len(chat.asked) == 2, "another label is another question"


def test_each_draw_another_model_and_another_server_are_asked_anew(writer):
    with serving(echo) as chat, serving(echo) as other:
        made(writer(chat.url))
        made(writer(chat.url), seed=1)
        made(writer(chat.url, temperature=0.5))
        made(writer(other.url))
        assert (len(chat.asked), len(other.asked)) == (3, 1)


# ---- what may be repeated, and what is said when it does not help ---------------------------------------------------


def cut(number, body):
    return None


@pytest.mark.parametrize("trouble", [429, 500, 503, 408, "cut"])
def test_what_passes_is_asked_again(trouble, writer, tmp_path):
    def say(number, body):
        bad = None if trouble == "cut" else failure(trouble, "busy", Retry_After="7")
        return bad if number < 3 else echo(number, body)

    with serving(say) as chat:
        assert len(made(writer(chat.url))[0]) == 1
        assert len(chat.asked) == 3
    assert [one["attempt"] for one in records(tmp_path)] == [1, 2, 3]
    assert [one["error"] is None for one in records(tmp_path)] == [False, False, True]


def test_a_server_says_how_long_to_wait_but_not_for_hours(writer, monkeypatch):
    waited = []
    monkeypatch.setattr(_endpoint.time, "sleep", waited.append)
    monkeypatch.setattr(_endpoint, "WAITS_S", (1.0, 3.0))
    monkeypatch.setattr(_endpoint, "LONGEST_WAIT_S", 60.0)
    after = ["20", "99999999", "soon"]
    with serving(
        lambda number, body: failure(429, Retry_After=after[number - 1]) if number < 4 else echo(0, body)
    ) as c:
        assert made(writer(c.url)) != [[]]
    assert waited == [20, 60, 3]


def test_what_stays_down_is_an_error_with_a_hint_and_nothing_is_lost(writer, tmp_path):
    with serving(lambda number, body: echo(number, body) if number < 3 else failure(503)) as chat:
        with pytest.raises(RemoteError) as caught:
            made(writer(chat.url, retries=2), *LABELS)
        assert caught.value.is_temporary
        assert "status 503" in caught.value.message
        assert "nothing is lost" in caught.value.hint.lower()
        assert sum(one["answer"] is not None for one in records(tmp_path)) == 2
        assert len(chat.asked) == 2 + 3
        chat.say = echo
        assert all(len(one) == 1 for one in made(writer(chat.url), *LABELS))
        assert len(chat.asked) == 5 + len(LABELS) - 2


def test_nobody_at_home_is_said_with_what_to_start(writer):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with pytest.raises(RemoteError, match="nobody answers") as caught:
            made(writer(url, retries=1))
    assert "ollama serve" in caught.value.hint


def test_a_server_that_never_answers_is_given_up(writer, tmp_path):
    with serving(lambda number, body: chat.done.wait(30) and None) as chat:
        with pytest.raises(RemoteError, match=r"no answer in 0\.1 s, 2 times"):
            made(writer(chat.url, timeout_s=0.1, retries=1, price_per_million_out=1))
        assert [one["tokens_out"] for one in records(tmp_path)] == [1000, 1000], (
            "it may have worked: the most it may cost"
        )


@pytest.mark.parametrize(
    ("status", "says"), [(401, "without a key"), (403, "without a key"), (404, "does not have"), (302, "does not have")]
)
def test_what_would_be_refused_again_is_asked_once(status, says, writer):
    with serving(lambda number, body: failure(status, "go away", Location="http://example.org/")) as chat:
        with pytest.raises(RemoteError, match=says) as caught:
            made(writer(chat.url))
        assert len(chat.asked) == 1
    assert "[options.llm]" in caught.value.hint


def test_texts_that_were_not_accepted_before_are_no_sign_that_the_endpoint_is_wrong(writer):
    """They are all that is asked for in a round that brings no labels."""
    labels = {f"text number {number}": ("card",) for number in range(2 * _endpoint.STRANGE_ANSWERS)}
    refused = list(labels)[::2]
    with serving(lambda number, body: failure(400) if parent(body) in refused else echo(number, body)) as chat:
        made(writer(chat.url, labels=labels), *labels)
        assert made(writer(chat.url, labels=labels), *refused) == [[]] * len(refused)
    with serving(lambda number, body: failure(400)) as chat:
        for _ in range(2):  # nothing was answered: the second time it may be the endpoint still
            with pytest.raises(RemoteError, match="5 times in a row"):
                made(writer(chat.url, labels=labels), *refused)


def test_one_text_that_is_not_accepted_does_not_stop_the_others(writer):
    with serving(lambda number, body: failure(400, "too long") if parent(body) == TEXT else echo(number, body)) as chat:
        found = made(writer(chat.url), *LABELS)
        assert found[0] == []
        assert all(len(one) == 1 for one in found[1:])
        made(writer(chat.url), *LABELS)
        assert len(chat.asked) == len(LABELS) + 1, "what was not paid for may be asked again"


GARBAGE = {
    "html": (200, b"<html><script>alert(1)</script>Log in</html>", {}),
    "nothing": (200, b"", {}),
    "a list": (200, b"[1, 2]", {}),
    "no choices": (200, b'{"choices": []}', {}),
    "a number": (200, b'{"choices": 3}', {}),
    "deep": (200, b"[" * 100_000, {}),
    "torn": (200, b'{"choices": [{"mess', {}),
    "bytes": (200, bytes(range(256)) * 40, {}),
    "huge": (200, b"x" * 5_000_000, {}),
    "not gzip": (200, b"no", {"Content_Encoding": "gzip"}),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_a_server_that_talks_nonsense_is_named_after_a_few_texts(name, writer, tmp_path):
    with serving(lambda number, body: GARBAGE[name]) as chat, pytest.raises(RemoteError) as caught:
        made(writer(chat.url), *LABELS)
    assert "<" not in caught.value.message
    assert len(caught.value.message) < 500
    assert len(chat.asked) <= 5
    assert (tmp_path / "llm" / "requests.jsonl").stat().st_size < 50_000


# ---- answers that are not what was asked for ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('["a b", "c d"]', ["a b", "c d"]),
        ('```json\n["a b", "c d"]\n```', ["a b", "c d"]),
        ('Sure! Here they are: ["a b", "c d"] Tell me if you want more.', ["a b", "c d"]),
        ('{"paraphrases": ["a b", "c d"]}', ["a b", "c d"]),
        ('[{"text": "a b"}, {"text": "c d"}]', ["a b", "c d"]),
        ('["a \\"b\\"", "c d", "e f', ['a "b"', "c d"]),
        ('["a b", 3, null, ["x"], "c d"]', ["a b", "c d"]),
        ("Here are two paraphrases:\n1. a b\n2) c d\n", ["a b", "c d"]),
        ("- a b\n* c d", ["a b", "c d"]),
        ('"a b"\n“c d”', ["a b", "c d"]),
        ('<think>\n["no"] hm\n</think>\na b', ["a b"]),
        ("<think>it never ends", []),
        ("a b [1]", ["a b [1]"]),
        ("3.5 is the price", ["3.5 is the price"]),
        ("[", ["["]),
        ("", []),
    ],
)
def test_texts_are_found_in_whatever_form_they_come(answer, expected):
    assert [one for one in children(answer) if one] == expected


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "  ",
        "?!",
        TEXT,
        f" {TEXT.upper()} ",
        "<b>card</b> declined",
        "<script>alert(1)</script>",
        "word " * 1000,
        "\x00\x07",
    ],
)
def test_what_is_empty_marked_up_too_long_or_the_parent_itself_is_dropped(bad):
    assert list(kept(iter([bad, "fine words"]), 2, [TEXT])) == ["fine words"]


def test_control_characters_are_taken_out_and_equal_children_are_one():
    assert list(kept(iter(["a\x00 b\x1b[31m", "A  b[31m", "line\nline"]), 5, [TEXT])) == ["a b[31m", "line\nline"]
    assert list(kept(iter(["<i>yes</i>"]), 1, ["<b>no</b>"])) == ["<i>yes</i>"], "as its parent is"


@pytest.mark.parametrize("content", [None, 3, [], {"a": 1}, "", "\ud800", "x" * 1_000_000, '["' + "y" * 30_000])
def test_hostile_answers_give_no_child_and_no_crash(content, writer, tmp_path):
    with serving(lambda number, body: completion(content)) as chat:
        assert made(writer(chat.url)) == [[]]
        assert made(writer(chat.url)) == [[]]
    assert len(chat.asked) == 1
    assert len(records(tmp_path)[0]["answer"]) <= 20_000


@pytest.mark.parametrize("usage", [None, (-5, -5), (True, "3"), (10**400, 1.5), (float("nan"), None)])
def test_tokens_that_are_not_counted_are_estimated(usage, writer, tmp_path):
    with serving(lambda number, body: completion('["fine words"]', usage)) as chat:
        made(writer(chat.url, price_per_million_in=1))
    (record,) = records(tmp_path)
    assert record["estimated"]
    assert 100 < record["tokens_in"] < 1_000
    assert record["tokens_out"] == len('["fine words"]') // 3


def test_the_last_line_of_an_answer_that_was_cut_off_is_left_out(writer):
    with serving(lambda number, body: completion("fine words\nwords that nev", finish_reason="length")) as chat:
        assert made(writer(chat.url), n=3) == [["fine words"]]


@pytest.mark.parametrize("mode", ["paraphrase", "write"])
def test_hostile_texts_come_through(mode, writer, tmp_path):
    labels = dict.fromkeys(HOSTILE.values(), ("card",))
    with serving(lambda number, body: completion(json.dumps([f"words {number}"]))) as chat:
        found = made(writer(chat.url, mode=mode, labels=labels), *HOSTILE.values())
        assert made(writer(chat.url, mode=mode, labels=labels), *HOSTILE.values()) == found
    assert all(len(one) <= 1 for one in found)
    assert all(len(json.dumps(body)) < 60_000 for body in chat.asked)
    assert len(records(tmp_path)) == len(chat.asked)
    if mode == "paraphrase":
        long = [one for text, one in zip(HOSTILE.values(), found, strict=True) if len(text) > 4_000]
        assert long
        assert not any(long)


# ---- budgets ---------------------------------------------------------------------------------------------------------


def test_when_requests_are_used_up_it_goes_on_with_what_there_is(writer, tmp_path):
    with serving(lambda number, body: failure(500) if number == 1 else echo(number, body)) as chat:
        found = made(writer(chat.url, max_requests=3), *LABELS)
        assert [len(one) for one in found] == [1, 1, 0, 0, 0, 0], "the first took two"
        assert made(writer(chat.url, max_requests=3), *LABELS) == found
        assert len(chat.asked) == 3
        spent = augmenters.build("llm", model="tiny").spent(tmp_path / "llm")
        assert spent == {
            "requests": 3,
            "tokens_in": 200,
            "tokens_out": 40,
            "cost": 0.0,
            "stopped": "max_requests = 3 are used up",
        }
        assert all(made(writer(chat.url, max_requests=0), *LABELS))
        assert augmenters.build("llm", model="tiny").spent(tmp_path / "llm")["stopped"] is None


def test_money_is_never_spent_beyond_the_limit(writer, tmp_path):
    prices = {"price_per_million_in": 1.0, "price_per_million_out": 10.0, "max_tokens": 100}
    with serving(lambda number, body: completion('["fine words"]', (300, 100))) as chat:  # 0.0013 each
        made(writer(chat.url, max_cost=0.01, **prices), *LABELS)
        made(writer(chat.url, max_cost=0.01, **prices), *LABELS, seed=1)
        spent = augmenters.build("llm", model="tiny").spent(tmp_path / "llm")
        assert len(chat.asked) == 7, "an eighth may cost 0.001 for what it says and more for what it is asked"
        assert spent["cost"] == pytest.approx(7 * 0.0013)
        assert spent["stopped"].startswith("max_cost = 0.01 is used up")


@pytest.mark.parametrize("reply", [failure(402, "pay"), failure(429, "insufficient_quota: check your plan")])
def test_an_account_without_credit_stops_the_asking_and_not_the_round(reply, writer, tmp_path):
    with serving(lambda number, body: echo(number, body) if number < 3 else reply) as chat:
        assert [len(one) for one in made(writer(chat.url), *LABELS)] == [1, 1, 0, 0, 0, 0]
        assert len(chat.asked) == 3
    assert "no credit" in augmenters.build("llm", model="tiny").spent(tmp_path / "llm")["stopped"]


def test_nothing_was_spent_where_nothing_was_asked(tmp_path):
    spent = augmenters.build("llm", model="tiny").spent(tmp_path / "none")
    assert spent == {"requests": 0, "tokens_in": 0, "tokens_out": 0, "cost": 0.0, "stopped": None}


# ---- the key and the texts are nobody else's business ----------------------------------------------------------------


def everywhere(tmp_path):
    return "".join(path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()).lower()


@pytest.mark.parametrize(
    "reply",
    [
        completion(json.dumps([f"your key is {KEY}", "fine words"])),
        completion(f"{KEY.upper()} and more\nfine words"),
        failure(400, f"bad key {KEY}"),
        failure(401, "x" * 290 + KEY),
        failure(404, KEY),
        failure(500, KEY),
        failure(402, KEY),
        (500, f"oh no {KEY}".encode(), {}),
        (200, f"oh no {KEY}".encode(), {}),
        (200, b"x" * 280 + KEY.encode(), {}),
        (200, json.dumps({"choices": KEY, "error": KEY, "usage": {KEY: KEY}}).encode(), {}),
        (400, ('{"error": "' + "".join(f"\\u{ord(c):04x}" for c in KEY) + '"').encode(), {}),
    ],
)
def test_the_key_is_in_no_file_and_no_error_also_where_the_server_sends_it_back(reply, writer, tmp_path, monkeypatch):
    monkeypatch.setenv("SOME_KEY", KEY)
    said = ""
    with serving(lambda number, body: reply) as chat:
        augmenter = writer(chat.url, key_from="SOME_KEY", retries=1)
        try:
            said = str(made(augmenter, *LABELS))
        except RemoteError as error:
            said = f"{error.message} {error.hint} {error.__cause__!r} {error.__context__!r}"
        assert chat.headers[0]["authorization"] == f"Bearer {KEY}"
    told = f"{said} {augmenter!r} {everywhere(tmp_path)}".lower()
    assert KEY.lower() not in told
    assert KEY.lower()[:12] not in told
    assert all(f"\\u{ord(sign):04x}" not in told for sign in KEY[-3:])


def test_a_key_that_is_not_set_is_said_with_what_to_type(writer, monkeypatch):
    monkeypatch.delenv("SOME_KEY", raising=False)
    with pytest.raises(ConfigError, match="SOME_KEY") as caught:
        writer(key_from="SOME_KEY")
    assert caught.value.hint == "export SOME_KEY=…"


@pytest.mark.parametrize("key", ["two words", "ключ-ключ", "a\nb-c-d-e", "x"])
def test_what_is_no_key_is_refused_without_being_repeated(key, writer, monkeypatch):
    monkeypatch.setenv("SOME_KEY", key)
    with pytest.raises(ConfigError, match="no API key") as caught:
        writer(key_from="SOME_KEY")
    assert f" {key} " not in f" {caught.value.message} {caught.value.hint} "


def test_a_key_where_its_name_belongs_is_refused_without_being_repeated():
    with pytest.raises(ConfigError, match="name of an environment variable") as caught:
        augmenters.build("llm", model="tiny", key_from=KEY)
    assert KEY not in caught.value.message


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com/v1",
        "http://192.168.0.7/v1",
        "http://0.0.0.0:1/v1",
        "http://127.0.0.1.example.org/v1",
        "http://localhost.example.org",
    ],
)
def test_texts_leave_the_machine_only_if_told_so(url):
    with pytest.raises(ConfigError, match="send_texts_away = true"):
        augmenters.build("llm", url=url, model="tiny")
    assert augmenters.build("llm", url=url, model="tiny", send_texts_away=True).url == url


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:11434/v1", "http://localhost/v1/", "http://[::1]:80", "http://127.8.8.8"]
)
def test_this_machine_is_local(url):
    assert augmenters.build("llm", url=url, model="tiny").url == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://127.0.0.1",
        "http://user:secret@127.0.0.1/v1",
        "http://127.0.0.1\\@example.org",
        "http://127.0.0.1@example.org",
        "http://127.0.0.1/v1?key=secret",
        "http://127.0.0.1:99999/",
        "http://a b/",
    ],
)
def test_a_url_that_hides_something_is_refused_without_being_repeated(url):
    with pytest.raises(ConfigError, match="url") as caught:
        augmenters.build("llm", url=url, model="tiny", send_texts_away=True)
    assert "secret" not in caught.value.message


def test_a_local_url_is_asked_directly_whatever_proxy_is_set(writer, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with serving(echo) as chat:
        assert len(made(writer(chat.url))[0]) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": ""},
        {"mode": "poem"},
        {"temperature": 3.0},
        {"timeout_s": 0.0},
        {"retries": -1},
        {"max_cost": 1.0},
        {"max_cost": float("nan")},
    ],
)
def test_options_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        augmenters.build("llm", **{"model": "tiny"} | wrong)


def test_it_is_a_plug_in_that_has_to_be_prepared():
    check_plugin(augmenters.build("llm", model="tiny"))
    with pytest.raises(ConfigError, match="labelled"):
        made(augmenters.build("llm", model="tiny"))
