"""The list of evaluations: looked through by name, page by page."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from datasets.models import Dataset, DatasetVersion, Evaluation, Purpose
from datasets.views import evaluations
from portal.models import Connection, User
from tests import factories
from tests.pages import text_of

pytestmark = pytest.mark.django_db
SignIn = Callable[[User], Client]


def named(user: User, source: Connection, *names: str) -> None:
    dataset = Dataset.objects.create(name="Items", purpose=Purpose.EVALUATION, owner=user)
    version = DatasetVersion.objects.create(dataset=dataset, number=1, state="ready")
    version.connections.set([source])
    for name in names:
        made = Evaluation.objects.create(name=name, version=version, owner=user)
        made.connections.set([source])


def test_evaluations_are_found_by_their_names_and_paging_keeps_what_was_asked(
    builder: User, client_of: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, where = client_of(builder), reverse("datasets:evaluations")
    assert "data-search" not in client.get(where).content.decode(), "nothing to look through"
    hidden, source = factories.connection("Hidden", slug="hidden"), factories.connection("Library")
    named(builder, source, "Summaries & 50%", "Tone", "more summaries", "SUMMARIES again")
    limited = factories.user("limited", role="reader", connection=source)
    named(builder, hidden, "Hidden summaries")
    monkeypatch.setattr(evaluations, "PER_PAGE", 2)

    client = client_of(limited)
    page = client.get(where, {"q": " summaries "})
    assert [entry["evaluation"].name for entry in page.context["entries"]] == [
        "SUMMARIES again",
        "more summaries",
    ]
    assert '<a class="btn sub sm" href="?q=summaries&amp;page=2">Next</a>' in page.content.decode()
    second = client.get(where, {"q": "summaries", "page": "2"})
    assert [entry["evaluation"].name for entry in second.context["entries"]] == ["Summaries & 50%"]
    odd = client.get(where, {"q": "& 50%\0"})
    assert len(odd.context["entries"]) == 1
    assert 'value="&amp; 50%"' in odd.content.decode()

    nothing = client.get(where, {"q": "hidden"})
    assert "No evaluation is called so" in text_of(nothing)
    assert f'<a class="btn" href="{where}">Show all</a>' in nothing.content.decode()
    assert "No evaluations yet" not in text_of(nothing)


def test_more_rows_take_no_more_queries(
    builder: User, client_of: SignIn, django_assert_max_num_queries: Any
) -> None:
    client, source = client_of(builder), factories.connection("Library")
    named(builder, source, "One")
    where = reverse("datasets:evaluations")
    with django_assert_max_num_queries(60) as few:
        client.get(where, {"q": "o"})
    named(builder, source, "Two", "Four", "Fo")
    with django_assert_max_num_queries(len(few)):
        assert len(client.get(where, {"q": "o"}).context["entries"]) == 4
