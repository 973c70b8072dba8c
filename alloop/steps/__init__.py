"""The steps of a round, one module each, in the order in which they run.

What a step needs from an earlier one it reads from the database and from published directories, so that any step can
run in a new process. A directory's name ends in a fingerprint of all that went into it.
"""

from alloop.steps import augment, evaluate, pull, push, record, score, select, train
from alloop.steps.context import Step

STEPS = (
    Step("pull", pull.do, pull.save),
    Step("augment", augment.do, augment.save),
    Step("train", train.do, train.save),
    Step("evaluate", evaluate.do, evaluate.save),
    Step("score", score.do, score.save),
    Step("select", select.do, select.save),
    Step("push", push.do, push.save),
    Step("record", record.do, record.save),
)
