"""People label at the terminal, one text at a time, with one key per label: `alloop label`."""

from collections.abc import Sequence
from dataclasses import dataclass

from alloop.annotators import Desk, Pulled, _answers
from alloop.annotators._session import Summary as Summary
from alloop.annotators._session import session as session
from alloop.records import Annotation, Task


@dataclass(frozen=True)
class Terminal:
    """Label with: alloop label. Answers are on disk at once; quit whenever you like and go on later.

    Several people can label at the same time, each under their user name or $ALLOOP_ANNOTATOR.
    """

    def push(self, tasks: Sequence[Task], desk: Desk) -> dict[str, str]:
        """Queues the tasks for `alloop label`."""
        _answers.add_tasks(desk.inbox, tasks)
        return {task.key: task.key for task in tasks}

    def pull(self, since: str, desk: Desk) -> Pulled:
        """Every answer ever given, with those taken back; `since` is not needed, since a line never changes."""
        return Pulled(
            [
                Annotation(
                    remote_id=f"{answer.key}#{answer.annotator}",
                    version=str(answer.n),
                    task_key=answer.key,
                    text_id=None,
                    annotator=answer.annotator,
                    state=answer.state,
                    labels=answer.labels,
                    seconds=answer.seconds,
                    made_at=answer.made_at,
                )
                for answer in _answers.all_answers(desk.inbox)
            ]
        )


plugin = Terminal
