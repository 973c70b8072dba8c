"""Adapt the project's base to its pool, before or between rounds: the texts are there long before their labels are.

An adapted base is a directory, `bases/adapted-<fingerprint>/`, that loads like any other; `adapted.json` in it says how
it came about. Adapting always starts from the base that the config named first, never from an adapted one, so that the
same pool gives the same base and a text that is erased is in no base that stays.
"""

import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit

from alloop import config as configs
from alloop.config import Config
from alloop.errors import ConfigError, DataError
from alloop.files import fingerprint, is_whole, publish, write_whole
from alloop.project import BASES, CONFIG, Project, tuner_spec
from alloop.reports import command
from alloop.seeds import seed_for
from alloop.tuning._adapting import AdaptJob
from alloop.work import write_adapt

ABOUT, IDS, MEASURED = "adapted.json", "ids.txt", "measured.json"
FEWEST, MOST = 50, 50_000  # texts; more are not read in minutes, and the first by id are a random sample
HELD_BACK_SHARE, HELD_BACK_FEWEST, HELD_BACK_MOST = 0.05, 50, 1_000
RECIPE = 1  # raised when the same texts and options would give another base


@dataclass(frozen=True)
class Adapted:
    """An adapted base as the config may name it, what `adapted.json` says of it, and what came of this call."""

    base: str
    about: dict[str, Any]
    is_new: bool
    is_used: bool

    @property
    def has_helped(self) -> bool:
        """Whether texts that it has not seen became less perplexing."""
        return bool(self.about["perplexity"]["ratio"]["value"] < 1)


def adapt(
    project: Project,
    *,
    epochs: float = 3.0,
    minutes: float = 5.0,
    on_start: Callable[[str, int, int], None] = lambda base, texts, held_back: None,
) -> Adapted:
    """Go on training the base as a language model on the pool, and make the config name the result if it has helped.

    Never on test texts. Where these texts, base and options were adapted before, that base is taken. `on_start` hears
    the name of the base, how many texts it will learn from and how many are held back to measure by.
    Raises ConfigError for a tuner without a base, DataError for a small pool.
    """
    from alloop.tuning._bases import load_base

    with project.lock("alloop adapt"):
        config = project.config
        named = _named_base(config)
        origin = _origin(project, named)
        loadable = str(project.own_base(origin) or origin)
        held_back, train = _divided(list(project.store.pool_ids())[:MOST], project)
        seed = seed_for(config.round.seed, 0, "adapt")
        options: dict[str, Any] = {
            "max_tokens": config.model.max_tokens,
            "epochs": epochs,
            "minutes": minutes,
            "seed": seed,
        }
        base_fingerprint = load_base(loadable).fingerprint
        name = f"{BASES}/adapted-{fingerprint([RECIPE, base_fingerprint, held_back, train, options])}"
        directory = project.path(name)
        is_new = not is_whole(directory)
        about = {"base": origin, "base_fingerprint": base_fingerprint, **options}
        about |= {"texts": len(train), "held_back": len(held_back)}

        def fill(out: Path) -> None:
            texts = [text.text for text in project.store.texts([*held_back, *train])]
            job = AdaptJob(loadable, texts[len(held_back) :], texts[: len(held_back)], **options)
            project.run_job(config, lambda path: write_adapt(path, job), out)
            measured = json.loads((out / MEASURED).read_text())
            (out / MEASURED).unlink()
            (out / ABOUT).write_text(json.dumps(about | measured, indent=1, ensure_ascii=False), encoding="utf-8")
            (out / IDS).write_text("".join(f"{one}\n" for one in [*held_back, *train]))

        if is_new:
            on_start(origin, len(train), len(held_back))
        job = _job(project, {"directory": name, **about})
        publish(directory, fill)
        about = read_about(directory)
        if job is not None:
            with project.store.transaction():
                project.store.finish_job(job, about)
        found = Adapted(name, about, is_new, is_used=named == name)
        if named == name or not found.has_helped or _named_base(project.config) != named:
            return found
        _name_in_config(project, name, about)
        return Adapted(name, about, is_new, is_used=True)


def read_about(directory: Path) -> dict[str, Any]:
    """What `adapted.json` says of an adapted base."""
    found: dict[str, Any] = json.loads((directory / ABOUT).read_text(encoding="utf-8"))
    return found


def forget_texts(project: Project, ids: set[str]) -> list[str]:
    """Delete the adapted bases that learnt from these texts; returns their names. The config gets its old base back."""
    gone = []
    origins = {row.config["directory"]: row.config["base"] for row in project.store.jobs("adapt")}
    for directory in sorted(project.path(BASES).glob("adapted-*")):
        if is_whole(directory) and not ids & set((directory / IDS).read_text().split()):
            continue
        name = f"{BASES}/{directory.name}"
        if project.config.model.base == name:
            _name_in_config(project, origins.get(name) or read_about(directory)["base"])
        shutil.rmtree(directory)
        gone.append(name)
    for attempt in project.path(BASES).glob(".*"):  # of an adaptation that was killed
        shutil.rmtree(attempt)
    return gone


def _named_base(config: Config) -> str:
    spec = tuner_spec(config)
    if "base" not in spec.options:
        raise ConfigError(
            f"the tuner {spec.name!r} has no pretrained base to adapt", 'set model.tuner = "lora", or "features"'
        )
    if "base" in config.options_of(spec.name):
        raise ConfigError(
            f"[options.{spec.name}] has a base of its own", "name it in [model] instead, where adapt can replace it"
        )
    return config.model.base


def _origin(project: Project, name: str) -> str:
    """The base that an adapted one was made from; any other is its own."""
    own = project.own_base(name)
    return str(read_about(own)["base"]) if own is not None and (own / ABOUT).exists() else name


def _divided(ids: Sequence[str], project: Project) -> tuple[list[str], list[str]]:
    """The ids of texts held back and of those to learn from. Ids are hashes: the first of them are a random sample."""
    if len(ids) < FEWEST:
        raise DataError(
            f"the pool has {len(ids)} texts, too few to adapt a base to: {FEWEST} is the least",
            f"{command('add', project.root)} FILE",
        )
    wanted = min(max(HELD_BACK_FEWEST, int(HELD_BACK_SHARE * len(ids))), HELD_BACK_MOST)
    n = min(wanted, len(ids) // 5)
    return list(ids[:n]), list(ids[n:])


def _job(project: Project, config: dict[str, Any]) -> int | None:
    """The row of this adaptation that is not finished yet, an earlier killed one's if there is; None once it is."""
    rows = [row for row in project.store.jobs("adapt") if row.config["directory"] == config["directory"]]
    if rows and rows[-1].result is None:
        return rows[-1].id
    if rows and is_whole(project.path(config["directory"])):
        return None
    with project.store.transaction():
        return project.store.add_job("adapt", config)


def _name_in_config(project: Project, base: str, about: dict[str, Any] | None = None) -> None:
    """Set `model.base`, and say beside it what it was before; everything else in the file stays as it is."""
    path = project.root / CONFIG
    document: Any = tomlkit.parse(path.read_bytes().decode("utf-8"))
    if "model" not in document:
        document["model"] = tomlkit.table()
    table = document["model"]
    old = table.get("base")
    said = "" if old is None else re.sub(r"(; )?adapted from .*", "", old.trivia.comment.lstrip("# "))
    if about is not None:
        said += f"{'; ' if said else ''}adapted from {json.dumps(about['base'])}: {perplexity_words(about)}"
    table["base"] = base
    if not isinstance(table, tomlkit.items.InlineTable):  # which a comment would break
        trivia = table["base"].trivia
        trivia.comment_ws, trivia.comment = ("  ", f"# {said}") if said else ("", "")
    content = tomlkit.dumps(document)
    configs.parse(content, str(path))
    write_whole(path, content)


def perplexity_words(about: dict[str, Any]) -> str:
    """Both numbers: "perplexity 41.2 before, 23.1 after"."""
    before, after = (about["perplexity"][when]["value"] for when in ("before", "after"))
    return f"perplexity {before:.4g} before, {after:.4g} after"
