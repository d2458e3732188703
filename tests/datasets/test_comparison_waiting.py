"""A comparison of so many verdicts that its page does not wait until they are counted."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.test import Client
from django.urls import reverse

from datasets.models import Comparison, Run
from datasets.views import comparisons
from portal.models import User
from tests import factories
from tests.datasets import measured
from tests.datasets.compared import built, fresh, said
from tests.datasets.measured import EQUAL
from tests.pages import text_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_artifacts")]


def test_the_page_comes_at_once_and_asks_for_its_numbers(
    builder: User, client_of: Callable[[User], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = factories.connection("Library")
    made = built(builder, measured.rows(source, 12), reference="meta:answer", graders=[EQUAL])
    targets = [fresh(source, "first", "teacher"), fresh(source, "second", "student")]
    run = said(made, targets, {("first", "Equal"): "p" * 12, ("second", "Equal"): "pf" * 6})
    client = client_of(builder)
    client.post(reverse("datasets:comparison_new"), {"run": [run.pk]})
    address = reverse("datasets:comparison", args=[Comparison.objects.get().pk])
    client.get(address)  # which says in passing that it is kept
    other = f"{address}?baseline={run.pk}:second"

    monkeypatch.setattr(comparisons, "AT_ONCE", 23)
    waiting = client.get(other)
    assert "The verdicts on 12 items in 2 columns are put beside each other" in text_of(waiting)
    assert f'hx-get="{other}"' in waiting.content.decode()
    numbers = client.get(other, headers={"HX-Request": "true", "HX-Target": "numbers"})
    assert numbers.content.decode().lstrip().startswith('<div id="numbers"')
    assert "+50.0 points" in text_of(numbers)
    assert "+50.0 points" in text_of(client.get(other)), "what was counted is there at once"

    Run.objects.update(finished=datetime(2030, 1, 1, tzinfo=UTC))
    assert "Wait for it" in text_of(client.get(other))
    assert "+50.0 points" in text_of(client.get(f"{other}&wait=1"))
    monkeypatch.setattr(comparisons, "AT_ONCE", 24)
    assert "points" in text_of(client.get(address)), "few are counted with the page"
