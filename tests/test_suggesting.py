"""What a labelling config of Label Studio offers, and what of an answer it is shown."""

import pytest

from alloop.errors import DataError
from alloop.predicting import Answer
from alloop.suggesting import Choices, choices_of, control_for, prediction


def config(choices: str, text: str = '<Text name="text" value="$text"/>') -> str:
    return f"<View>{text}{choices}</View>"


def offer(*names: str, choice: str = "single", name: str = "label", about: str = "text") -> str:
    inside = "".join(f'<Choice value="{one}"/>' for one in names)
    return f'<Choices name="{name}" toName="{about}" choice="{choice}">{inside}</Choices>'


def test_names_field_and_choices_are_the_users_own() -> None:
    xml = config(offer("bug", "praise", name="kind", about="body"), '<HyperText name="body" value="$ticket"/>')
    assert choices_of(xml) == (Choices("kind", "body", "ticket", ("bug", "praise"), False),)


def test_an_alias_is_what_label_studio_stores() -> None:
    xml = config('<Choices name="label" toName="text"><Choice value="A bug!" alias="bug"/></Choices>')
    assert choices_of(xml)[0].offers == ("bug",)


def test_choices_inside_other_tags_count_and_choices_inside_choices_do_not() -> None:
    inside = '<View><Choice value="bug"><Choice value="crash"/></Choice></View><Choice value="praise"/>'
    xml = config(f'<View><Choices name="label" toName="text">{inside}</Choices></View>')
    assert choices_of(xml)[0].offers == ("bug", "praise")


def test_choices_about_nothing_with_a_text_are_left_out() -> None:
    assert choices_of(config(offer("bug", about="header"), '<Header name="header" value="Ticket"/>')) == ()
    assert choices_of(config('<Choices toName="text"/>')) == ()


def test_the_choices_with_most_of_our_labels_are_ours() -> None:
    xml = config(offer("bug", "other", name="a") + offer("bug", "praise", name="b") + offer("x", name="c"))
    control = control_for(xml, ["praise", "bug", "question"])
    assert control is not None
    assert control.name == "b"
    assert control_for(xml, ["question"]) is None
    assert control_for("<View/>", ["question"]) is None


@pytest.mark.parametrize("xml", ["", "text", "<View>", "<View></Choices>", "<View>&nbsp;</View>", "<View/>\x00"])
def test_what_is_not_xml_is_refused(xml: str) -> None:
    with pytest.raises(DataError, match="not XML"):
        choices_of(xml)


def test_a_document_type_is_refused_before_its_entities_grow() -> None:
    bomb = '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><View>&b;</View>'
    with pytest.raises(DataError, match="document type"):
        choices_of(bomb)


def answer(*labels: str, **probabilities: float) -> Answer:
    return Answer("…", labels, probabilities)


def shown(found: Answer, *offers: str, is_multiple: bool) -> list[str]:
    items = prediction(found, Choices("label", "text", "text", offers, is_multiple))["result"]
    return [name for item in items for name in item["value"]["choices"]]


def test_of_several_labels_one_choice_gets_the_likeliest() -> None:
    found = answer("a", "b", a=0.6, b=0.9, c=0.1)
    assert shown(found, "a", "b", "c", is_multiple=True) == ["b", "a"]
    assert shown(found, "a", "b", "c", is_multiple=False) == ["b"]


def test_a_label_that_is_not_offered_is_left_out_and_not_replaced() -> None:
    assert shown(answer("a", "b", a=0.6, b=0.9), "a", "c", is_multiple=True) == ["a"]
    assert shown(answer("b", a=0.1, b=0.9), "a", "c", is_multiple=False) == []


def test_the_score_is_the_probability_of_the_likeliest_label() -> None:
    offered = Choices("label", "text", "text", ("a", "b"), True)
    assert prediction(answer("b", a=0.1, b=0.9), offered)["score"] == 0.9
    assert prediction(answer(a=0.1, b=0.3), offered) == {"result": [], "score": 0.3}
