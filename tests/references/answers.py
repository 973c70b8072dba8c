"""What scikit-activeml 1.0.1 and small-text 2.0.0.dev3 answer to arrays: `python answers.py GIVEN.npz ANSWERS.npz`.

Runs in .references, an environment that has no alloop. Each function is an answer; its arguments are named after the
arrays it is given (see `problem` in test_references.py), and it returns arrays by name.
"""

import inspect
import sys
import warnings
from unittest import mock

import numpy as np
from scipy.sparse import csr_matrix
from skactiveml import pool as sk
from skactiveml.base import SkactivemlClassifier
from skactiveml.classifier import SklearnClassifier
from skactiveml.pool import average_kl_divergence, batch_bald, uncertainty_scores, vote_entropy
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from small_text.query_strategies import strategies as st
from small_text.query_strategies.bayesian import BALD
from small_text.query_strategies.coresets import GreedyCoreset
from small_text.query_strategies.multi_label import CategoryVectorInconsistencyAndRanking, LabelCardinalityInconsistency
from small_text.query_strategies.vector_space import ProbCover
from small_text.vector_indexes.base import VectorIndexFactory
from small_text.vector_indexes.knn import KNNIndex

TORCH = """torch torch.amp torch.nn torch.nn.functional torch.nn.modules torch.nn.modules.loss torch.nn.utils
torch.optim torch.optim.lr_scheduler torch.utils torch.utils.data torch.utils.data.sampler""".split()


class Answered(SkactivemlClassifier):
    """For scikit-activeml: a classifier whose texts are row numbers, and which has already answered."""

    def __init__(self, probs=None, embeddings=None):
        super().__init__(classes=None)
        self.probs, self.embeddings = probs, embeddings

    def fit(self, X, y):  # noqa: N803
        return self

    def predict_proba(self, X, with_embeddings=False):  # noqa: N803
        rows = X[:, 0].astype(int)
        return (self.probs[rows].copy(), self.embeddings[rows]) if with_embeddings else self.probs[rows].copy()


class Told:
    """For small-text: the same, with a dataset that is row numbers."""

    def __init__(self, probs, embeddings=None):
        self.probs, self.embeddings = probs, embeddings

    def predict_proba(self, rows, dropout_sampling=None):
        return self.probs[rows]

    def embed(self, rows, return_proba=True, pbar=None):
        return self.embeddings[rows], self.probs[rows]


def _no_labels(x, seen):
    """y for scikit-activeml: the texts of the pool have none."""
    return np.repeat([np.nan, 0.0], [len(x), len(seen)])


def _rows(x, seen):
    """For small-text: the dataset, the rows without and those with a label."""
    rows = np.arange(len(x) + len(seen))
    return rows, rows[: len(x)], rows[len(x) :]


def sk_uncertainty(probs):
    methods = ("least_confident", "margin_sampling", "entropy")
    return {method: uncertainty_scores(probs, method=method) for method in methods}


def st_uncertainty(x, seen, probs, n):
    found = {}
    for strategy in (st.LeastConfidence(), st.BreakingTies(), st.PredictionEntropy()):
        picks = strategy.query(Told(probs), *_rows(x, seen[:0]), np.zeros(0), n=int(n))
        found[type(strategy).__name__] = picks
    return found


def sk_committee(members):
    votes = members.argmax(-1).T
    return {
        "kl": average_kl_divergence(members.copy()),
        "vote-entropy": vote_entropy(votes, np.arange(members.shape[2])),
    }


def sk_bald(samples):
    return {"score": batch_bald(samples.copy(), 1)[0]}


def st_bald(x, seen, samples, n):
    strategy = BALD(len(samples))
    picks = strategy.query(Told(samples.swapaxes(0, 1)), *_rows(x, seen[:0]), np.zeros(0), n=int(n))
    return {"score": strategy.last_scores, "picks": picks}


def sk_badge(h, probs, n, seed):
    strategy = sk.Badge(clf_embedding_flag_name={"with_embeddings": True}, random_state=int(seed))
    picks, chance = strategy.query(
        np.arange(len(h))[:, None],
        np.full(len(h), np.nan),
        Answered(probs, h),
        fit_clf=False,
        batch_size=int(n),
        return_utilities=True,
    )
    return {"picks": picks, "chance": np.nan_to_num(chance)}


def st_badge(h, probs):
    """Its gradients. They need no torch, but its module imports it."""
    with mock.patch.dict(sys.modules, {name: mock.MagicMock() for name in TORCH}):
        from small_text.integrations.pytorch.query_strategies.strategies import BADGE
    return {"gradient": BADGE(probs.shape[1]).get_badge_embeddings(h[:50], probs[:50])}


def sk_cal(x, seen, probs, seen_probs):
    both, said = np.concatenate([x, seen]), np.concatenate([probs, seen_probs])
    strategy = sk.ContrastiveAL({"n_neighbors": 10}, clf_embedding_flag_name={"with_embeddings": True}, random_state=0)
    rows, y = np.arange(len(both))[:, None], _no_labels(x, seen)
    # the rows are what is compared where a classifier gives no other embeddings, which it is asked for
    _, score = strategy.query(rows, y, Answered(said, both), fit_clf=False, return_utilities=True)
    return {"score": score[0, : len(x)]}


def st_cal(x, seen, probs, seen_probs, n):
    """As it is, among the neighbours of a text are texts without a label, itself first; and among the labelled."""

    class OfLabelled(KNNIndex):
        def build(self, vectors, ids=None):
            super().build(vectors[len(x) :], np.arange(len(x), len(vectors)))

    said = Told(np.concatenate([probs, seen_probs]), np.concatenate([x, seen]))
    found = {}
    for name, index in (("of_all", KNNIndex), ("of_labelled", OfLabelled)):
        strategy = st.ContrastiveActiveLearning(vector_index_factory=VectorIndexFactory(index), pbar=None)
        found[name] = strategy.query(said, *_rows(x, seen), np.zeros(len(seen)), n=int(n))
    return found


def sk_coreset(x, seen, n):
    picks, far = sk.CoreSet(random_state=0).query(
        np.concatenate([x, seen]), _no_labels(x, seen), batch_size=int(n), return_utilities=True
    )
    return {"picks": picks, "score": np.nanmax(far, 1)}


def st_coreset(x, seen, n):
    both = np.concatenate([x, seen])
    return {"picks": GreedyCoreset().query(None, *_rows(x, seen), np.zeros(len(seen)), n=int(n), embeddings=both)}


def sk_typiclust(x, seen, cluster):
    """With 20 neighbours, as in the paper, the 6 clusters that alloop is given, and two labelled texts."""

    class Given:
        def __init__(self, n_clusters):
            pass

        def fit_predict(self, x):
            return cluster

    strategy = sk.TypiClust(cluster_algo=Given, k=20, random_state=0)
    return {"picks": strategy.query(np.concatenate([x, seen[:2]]), _no_labels(x, seen[:2]), batch_size=4)}


def sk_probcover(x, seen, n, delta, clusters, seed):
    both, y = np.concatenate([x, seen]), _no_labels(x, seen)
    given = sk.ProbCover(n_classes=2, deltas=[delta], random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it looked for no purer radius
        picks, gain = given.query(both, y, batch_size=int(n), return_utilities=True)
    options = {"n_init": 1, "max_iter": 100, "random_state": int(seed)}
    found = sk.ProbCover(n_classes=int(clusters), deltas=np.arange(0.05, 2, 0.05), cluster_algo_dict=options)
    found.query(x.astype(np.float32), np.full(len(x), np.nan))
    return {"picks": picks, "gain": np.nanmax(gain, 1), "delta": found.delta_max_}


def st_probcover(x, n, delta):
    """Of 300 texts, as it makes a graph in Python; without labelled texts, which it would pick as well."""
    x = x[:300]
    strategy = ProbCover(VectorIndexFactory(KNNIndex), k=len(x), ball_radius=float(delta))
    rows = np.arange(len(x))
    return {"picks": strategy.query(None, rows, rows, rows[:0], rows[:0], n=int(n), embeddings=x)}


def sk_herding(x, seen, n):
    strategy = sk.MaxHerding(metric_dict={"gamma": 1.0}, random_state=0)
    both, y = np.concatenate([x, seen]), _no_labels(x, seen)
    picks, gain = strategy.query(both, y, batch_size=int(n), return_utilities=True)
    return {"picks": picks, "score": np.nanmax(gain, 1)}


def sk_falcun(probs, n, seed):
    rows = np.arange(len(probs))[:, None]
    picks, chance = sk.Falcun(random_state=int(seed)).query(
        rows, np.full(len(rows), np.nan), Answered(probs), fit_clf=False, batch_size=int(n), return_utilities=True
    )
    return {"picks": picks, "chance": np.nan_to_num(chance)}


def sk_dropquery(x, seen, seen_y, n, seed):
    """With what it dropped (draws, N, D), noted by a head that scales up what is left, as torch's dropout does."""
    dropped = []

    class Head(SklearnClassifier):
        def predict(self, X):  # noqa: N803
            if (X == 0).mean() < 0.5:
                return super().predict(X)
            dropped.append(X == 0)
            return super().predict(X * 4)

    class InOrder(KMeans):
        """The candidates come in the order of their doubt, from which k-means would begin with other texts."""

        def fit_transform(self, X, y=None):  # noqa: N803
            place = {row.tobytes(): number for number, row in enumerate(x)}
            order = np.argsort([place[row.astype(x.dtype).tobytes()] for row in X])
            return self.fit(X[order]).transform(X)

    y = np.concatenate([np.full(len(x), np.nan), seen_y])
    both = np.concatenate([x, seen])
    head = Head(LogisticRegression(max_iter=200), classes=np.unique(seen_y)).fit(both, y)
    options = {"n_init": 1, "max_iter": 100, "random_state": int(seed)}
    strategy = sk.DropQuery(
        n_dropout_samples=3, cluster_algo=InOrder, cluster_algo_dict=options, random_state=int(seed)
    )
    picks, near = strategy.query(both, y, head, fit_clf=False, batch_size=int(n), return_utilities=True)
    return {"picks": picks, "candidates": np.flatnonzero(np.isfinite(near[0, : len(x)])), "dropped": np.array(dropped)}


def sk_discriminative(x, seen, n):
    both, y, found = np.concatenate([x, seen]), _no_labels(x, seen), {}
    for name, at_once in (("at_once", True), ("one_by_one", False)):
        tells = SklearnClassifier(LogisticRegression(C=10, class_weight="balanced", max_iter=1000))
        strategy = sk.DiscriminativeAL(greedy_selection=at_once, random_state=0)
        picks, chance = strategy.query(both, y, tells, batch_size=int(n), return_utilities=True)
        found |= {name: picks, f"{name}_score": np.nanmax(chance, 1)}
    return found


def st_discriminative(x, seen, n):
    class Rows:
        """A dataset of row numbers that can be relabelled."""

        is_multi_label = False

        def __init__(self, rows):
            self.rows = rows

        def __getitem__(self, chosen):
            return Rows(self.rows[chosen])

        def clone(self):
            return self

    class Tells:
        def new(self):
            return Tells()

        def fit(self, rows):
            model = LogisticRegression(C=10, class_weight="balanced", max_iter=1000)
            self.model = model.fit(both[rows.rows], rows.y)
            return self

        def predict_proba(self, rows):
            return self.model.predict_proba(both[rows.rows])

    both = np.concatenate([x, seen])
    rows, without, labelled = _rows(x, seen)
    strategy = st.DiscriminativeActiveLearning(Tells(), 2, unlabeled_factor=len(x), pbar=None)
    return {"picks": strategy.query(None, Rows(rows), without, labelled, np.zeros(len(seen)), n=int(n))}


def st_kmeans(x, n, seed):
    np.random.seed(int(seed))  # noqa: NPY002 - small-text draws from the global generator
    rows = np.arange(len(x))
    return {"picks": st.EmbeddingKMeans().query(None, rows, rows, rows[:0], rows[:0], n=int(n), embeddings=x)}


def st_several_labels(x, several, seen_several, n):
    found = {}
    for name, strategy in (
        ("label-cardinality", LabelCardinalityInconsistency()),
        ("cvirs", CategoryVectorInconsistencyAndRanking(batch_size=len(x), pbar=None)),
    ):
        rows = np.arange(len(x))
        strategy.query(Told(several), rows, rows, rows[:0], csr_matrix(seen_several), n=int(n))
        found[name] = strategy.last_scores
    return found


if __name__ == "__main__":
    given = dict(np.load(sys.argv[1]))
    answers = {}
    for function in [one for one in globals().values() if inspect.isfunction(one) and one.__module__ == "__main__"]:
        if not function.__name__.startswith("_"):
            said = function(**{name: given[name] for name in inspect.signature(function).parameters})
            answers |= {f"{function.__name__}.{name}": array for name, array in said.items()}
    np.savez(sys.argv[2], **answers)
