"""A directory of nltk's data: the files of WordNet as Debian has them, and a small tagger trained here."""

import random
import shutil
from pathlib import Path

WORDNET = Path("/usr/share/wordnet")  # of the package wordnet-base, which lacks two of the files that nltk opens
LEXICOGRAPHERS = {  # see lexnames(5WN)
    "adj": "all pert",
    "adv": "all",
    "noun": (
        "Tops act animal artifact attribute body cognition communication event feeling food group location motive "
        "object person phenomenon plant possession process quantity relation shape state substance time"
    ),
    "verb": (
        "body change cognition communication competition consumption contact creation emotion motion perception "
        "possession social stative weather"
    ),
}
SENTENCES = """
the/DT quick/JJ card/NN was/VBD declined/VBN quickly/RB
please/VB tell/VB me/PRP why/WRB my/PRP$ cards/NNS do/VBP not/RB work/VB
this/DT is/VBZ a/DT good/JJ bank/NN
he/PRP opens/VBZ the/DT big/JJ account/NN
it/PRP was/VBD really/RB bad/JJ and/CC slow/JJ
they/PRP never/RB refund/VBP the/DT money/NN
your/PRP$ app/NN crashes/VBZ often/RB
we/PRP cannot/MD increase/VB the/DT limit/NN
the/DT fast/JJ transfer/NN arrived/VBD early/RB
I/PRP love/VBP this/DT happy/JJ feeling/NN
the/DT cold/JJ weather/NN begins/VBZ
a/DT strong/JJ man/NN lifts/VBZ heavy/JJ boxes/NNS
"""


def make_nltk_data(directory: Path) -> None:
    """Fills the directory, and makes nltk look there and nowhere else."""
    import nltk.data
    from nltk.tag.perceptron import PerceptronTagger

    nltk.data.path[:] = [str(directory)]
    wordnet = directory / "corpora" / "wordnet"
    shutil.copytree(WORDNET, wordnet)
    names = [f"{part}.{name}" for part, some in LEXICOGRAPHERS.items() for name in some.split()]
    names.append("adj.ppl")
    numbers = [1 + ["noun", "verb", "adj", "adv"].index(name.split(".")[0]) for name in names]
    lines = [f"{number:02}\t{name}\t{part}\n" for number, (name, part) in enumerate(zip(names, numbers, strict=True))]
    (wordnet / "lexnames").write_text("".join(lines))
    (wordnet / "index.sense").write_text("")  # of use for versions of WordNet other than 3.0
    tagger = directory / "taggers" / "averaged_perceptron_tagger_eng"
    tagger.mkdir(parents=True, mode=0o700)
    sentences = [[tuple(word.split("/")) for word in line.split()] for line in SENTENCES.strip().splitlines()]
    state = random.getstate()
    random.seed(0)  # the tagger's trainer shuffles
    PerceptronTagger(load=False).train(sentences * 3, save_loc=str(tagger))
    random.setstate(state)
