"""Saved views: who sees them, what opens, what counts as changed, and the palette."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client

from completions import palette, reviewing, saved
from completions.models import DefaultView, Label, SavedView, StoredCompletion
from completions.reviewing import Said
from portal.models import AuditEntry, Connection, User
from tests import factories
from tests.factories import make_completion

pytestmark = [pytest.mark.engines, pytest.mark.django_db]

ClientOf = Callable[[User], Client]
DOCS = "q=meta.category%3Adocs&sort=-tokens"


@pytest.fixture
def east() -> Connection:
    return factories.connection("East", slug="east")


@pytest.fixture
def west() -> Connection:
    return factories.connection("West", slug="west")


@pytest.fixture
def rows(east: Connection, west: Connection) -> None:
    for n in range(6):
        make_completion((east, west)[n % 2], metadata={"category": "docs" if n < 4 else "chat"})


def page_of(client: Client, query: str = "") -> str:
    answer = client.get(f"/completions/{query}")
    assert answer.status_code == 200
    return answer.content.decode()


def total_of(page: str) -> int:
    return int(page.partition('data-total="')[2].partition('"')[0])


# Who sees what.


def test_a_view_is_its_owners_until_it_is_shared(reader: User, reviewer: User, east: Connection) -> None:
    view = saved.save(reader, "Docs", DOCS)
    assert saved.opened(reader, str(view.pk)) == view
    assert saved.opened(reviewer, str(view.pk)) is None
    saved.share(view, shared=True)
    assert saved.opened(reviewer, str(view.pk)) == view
    assert AuditEntry.objects.get(verb="view.shared").target_name == "Docs"
    saved.share(view, shared=False)
    assert saved.opened(reviewer, str(view.pk)) is None


def test_a_shared_view_needs_a_connection_in_common(east: Connection, west: Connection) -> None:
    owner, near = factories.user("", "reader", east), factories.user("", "reader", east)
    far, everywhere = factories.user("", "reader", west), factories.user("", "reader")
    view = saved.save(owner, "Docs", DOCS, shared=True)
    seeing = [SavedView.objects.readable_by(each).exists() for each in (owner, near, far, everywhere)]
    assert seeing == [True, True, False, True]
    assert list(SavedView.objects.manageable_by(near)) == []
    assert list(SavedView.objects.manageable_by(owner)) == [view]


def test_a_group_and_a_superuser_are_owners_like_others(east: Connection, west: Connection) -> None:
    from django.contrib.auth.models import Group

    from portal.models import Grant, Role

    group = Group.objects.create(name="Writers")
    member, near = factories.user(), factories.user("", "reader", east)
    member.groups.add(group)
    Grant.objects.create(group=group, role=Role.READER, connection=east)
    outsider, chief = factories.user(), factories.user(is_superuser=True)
    saved.save(member, "Of a member", "", shared=True)
    saved.save(chief, "Of the chief", "", shared=True)
    names = {view.name for view in SavedView.objects.readable_by(near)}
    assert names == {"Of a member", "Of the chief"}
    assert not SavedView.objects.readable_by(outsider).exists()
    assert not SavedView.objects.readable_by(None).exists()


@pytest.mark.parametrize("q", ["connection:west", "-connection:west", "(connection:east OR connection:west)"])
def test_a_view_that_names_a_connection_is_for_its_readers(
    q: str, east: Connection, west: Connection
) -> None:
    owner, near = factories.user("", "reader"), factories.user("", "reader", east)
    view = saved.save(owner, "Of the west", f"q={quote(q)}", shared=True)
    assert saved.opened(near, str(view.pk)) is None
    saved.overwrite(view, "q=apples")
    assert saved.opened(near, str(view.pk)) == view


def test_a_shared_view_shows_each_their_own_rows(rows: None, east: Connection, client_of: ClientOf) -> None:
    owner, near = factories.user("", "reader"), factories.user("", "reader", east)
    view = saved.save(owner, "Docs", DOCS, shared=True)
    assert total_of(page_of(client_of(owner), f"?view={view.pk}")) == 4
    assert total_of(page_of(client_of(near), f"?view={view.pk}")) == 2
    assert [str(count) for _, count in saved.counts(near)] == ["2"]


# What opens.


def test_a_link_opens_the_filter_and_the_order(rows: None, reader: User, client_of: ClientOf) -> None:
    view = saved.save(reader, "Docs", DOCS)
    page = page_of(client_of(reader), f"?view={view.pk}")
    assert total_of(page) == 4
    assert 'aria-sort="descending"' in page
    assert "changed</span>" not in page


def test_what_stands_beside_the_view_is_a_change(rows: None, reader: User, client_of: ClientOf) -> None:
    view = saved.save(reader, "Docs", DOCS)
    client = client_of(reader)
    page = page_of(client, f"?q=&view={view.pk}")
    assert total_of(page) == 6
    assert "changed</span>" in page
    assert "changed</span>" not in page_of(client, f"?{DOCS}&view={view.pk}")
    assert "changed</span>" in page_of(client, f"?q=meta.category%3Adocs&view={view.pk}")


def test_the_last_condition_can_be_taken_out_of_a_view(rows: None, reader: User, client_of: ClientOf) -> None:
    view = saved.save(reader, "Docs", "q=meta.category%3Adocs")
    page = page_of(client_of(reader), f"?view={view.pk}")
    assert f'href="/completions/?q=&amp;view={view.pk}"' in page


@pytest.mark.parametrize("named", ["999999", "x", "-1", "9" * 30, "1e3", "%00", "all"])
def test_a_view_that_is_not_there_is_no_failure(
    named: str, rows: None, reader: User, client_of: ClientOf
) -> None:
    client = client_of(reader)
    assert total_of(page_of(client, f"?view={named}")) == 6
    assert total_of(page_of(client, f"?q=meta.category%3Adocs&view={named}")) == 4
    said = "This view is not there" in page_of(client, f"?view={named}")
    assert said is (named in ("999999", "x", "1e3"))


def test_the_default_view_opens_by_itself_and_everything_stays_in_reach(
    rows: None, reader: User, reviewer: User, client_of: ClientOf
) -> None:
    view = saved.save(reader, "Docs", DOCS, shared=True)
    saved.open_first(reader, view, first=True)
    saved.open_first(reviewer, view, first=True)
    mine, other = client_of(reader), client_of(reviewer)
    assert [total_of(page_of(each)) for each in (mine, other)] == [4, 4]
    assert total_of(page_of(mine, "?view=all")) == 6
    assert 'href="/completions/?view=all"' in page_of(mine)
    # Taking the last condition out of a filter does not bring the default view back.
    assert 'href="/completions/?q=&amp;view=all"' in page_of(mine, "?q=meta.category%3Adocs")
    saved.share(view, shared=False)
    assert [total_of(page_of(each)) for each in (mine, other)] == [4, 6]
    saved.open_first(reader, view, first=False)
    assert not DefaultView.objects.exists()


def test_a_view_is_compared_in_one_spelling(reader: User) -> None:
    assert saved.canonical("sort=-tokens&q=docs++model:a&after=1.2") == saved.canonical(
        "q=docs%20model%3Aa&sort=-tokens"
    )
    assert saved.canonical("") == saved.canonical("q=&density=nonsense") == ""


# Changes.


def test_a_view_is_named_saved_again_moved_deleted_and_brought_back(
    rows: None, reader: User, client_of: ClientOf
) -> None:
    client = client_of(reader)
    made = client.post("/completions/save-view/", {"name": " My  docs ", "query": DOCS, "first": "on"})
    first = SavedView.objects.get()
    assert made["Location"] == f"/completions/?view={first.pk}"
    assert (first.name, first.query, first.shared) == ("My docs", DOCS, False)
    assert DefaultView.objects.get().view == first

    client.post(f"/completions/views/{first.pk}/save/", {"query": f"q=chat&view={first.pk}"})
    first.refresh_from_db()
    assert first.query == "q=chat"

    second = saved.save(reader, "Second", "")
    client.post(f"/completions/views/{second.pk}/move/", {"to": "up"})
    assert [each.name for each in SavedView.objects.all()] == ["Second", "My docs"]

    client.post(f"/completions/views/{first.pk}/", {"name": "Talk", "shared": "on", "query": ""})
    first.refresh_from_db()
    assert (first.name, first.shared) == ("Talk", True)
    assert not DefaultView.objects.exists()

    client.post(f"/completions/views/{first.pk}/delete/", {"query": f"q=chat&view={first.pk}"})
    page = page_of(client)
    assert f"/completions/views/{first.pk}/restore/" in page
    assert "?view=" + str(first.pk) not in page
    saved.save(reader, "Talk", "")
    client.post(f"/completions/views/{first.pk}/restore/", {"query": ""})
    assert set(SavedView.objects.kept().values_list("name", flat=True)) == {"Talk", "Talk (2)", "Second"}
    assert [each.verb for each in AuditEntry.objects.order_by("id")] == [
        "view.shared", "view.deleted", "view.restored",
    ]  # fmt: skip


def test_what_was_deleted_long_ago_goes_with_the_next_deletion(reader: User) -> None:
    old, new = saved.save(reader, "Old", ""), saved.save(reader, "New", "")
    saved.delete(old)
    SavedView.objects.filter(pk=old.pk).update(deleted=old.created - timedelta(hours=1))
    saved.delete(new)
    assert [each.name for each in SavedView.objects.all()] == ["New"]


def test_only_the_owner_changes_a_view(
    reader: User, reviewer: User, east: Connection, client_of: ClientOf
) -> None:
    view = saved.save(reader, "Docs", DOCS, shared=True)
    client = client_of(reviewer)
    for action in ("save", "move", "delete"):
        assert client.post(f"/completions/views/{view.pk}/{action}/").status_code == 403
    assert client.post(f"/completions/views/{view.pk}/restore/").status_code == 404
    client.post(f"/completions/views/{view.pk}/", {"name": "Mine now", "first": "on", "query": ""})
    view.refresh_from_db()
    assert (view.name, view.shared, view.deleted) == ("Docs", True, None)
    assert DefaultView.objects.get().person == reviewer
    saved.share(view, shared=False)
    assert client.get(f"/completions/views/{view.pk}/").status_code == 404


@pytest.mark.parametrize(
    ("name", "query", "why"),
    [
        ("", "", "needs a name"),
        ("x" * 81, "", "at most 80"),
        ("Docs", "", "already"),
        ("New", "q=nofield%3Ax", "cannot be read"),
        ("New", "columns=" + ",".join(f"meta.{'%25C3%25A9' * 60}{n}" for n in range(40)), "too long"),
    ],
)
def test_what_cannot_be_kept_is_refused_in_words(name: str, query: str, why: str, reader: User) -> None:
    saved.save(reader, "Docs", DOCS)
    with pytest.raises(saved.Refused, match=why):
        saved.save(reader, name, query)


def test_a_refusal_stands_at_the_field(reader: User, client_of: ClientOf) -> None:
    saved.save(reader, "Docs", DOCS)
    answer = client_of(reader).post(
        "/completions/save-view/", {"name": "Docs", "query": ""}, headers={"HX-Request": "true"}
    )
    assert answer.status_code == 422
    assert "You have a view named “Docs” already." in answer.content.decode()


def test_views_go_with_their_owner(reader: User, reviewer: User, east: Connection) -> None:
    view = saved.save(reader, "Docs", DOCS, shared=True)
    saved.open_first(reviewer, view, first=True)
    reader.delete()
    assert not SavedView.objects.exists()
    assert not DefaultView.objects.exists()


def test_counts_leave_out_what_has_to_be_read(rows: None, reader: User, client_of: ClientOf) -> None:
    docs = saved.save(reader, "Docs", DOCS)
    saved.save(reader, "Pattern", "q=%2Fdoes.*function%2F")
    words = saved.save(reader, "Words", "q=function")
    assert [(pk, str(count)) for pk, count in saved.counts(reader)] == [(docs.pk, "4"), (words.pk, "6")]
    page = client_of(reader).get("/completions/view-counts/").content.decode()
    assert f'hx-swap-oob="innerHTML:#view-count-{docs.pk}">4<' in page


def test_a_view_of_what_people_said_is_counted_and_opened(
    rows: None, east: Connection, reader: User, client_of: ClientOf
) -> None:
    quality = Label.objects.create(connection=east, name="quality", kind="score", options=[1, 5])
    said = [Said("state", "approved"), Said("label", "4", quality), Said("note", "wrong tone")]
    row = StoredCompletion.objects.filter(connection=east)[0]
    reviewing.record(row, said, factories.user("alex", "reviewer"))
    query = f"q={quote('review:approved label.quality:3..5 note:wrong*')}"
    view = saved.save(reader, "Good ones", query)
    todo = saved.save(reader, "To do", "q=review%3Aunreviewed")
    assert {pk: count.n for pk, count in saved.counts(reader)} == {view.pk: 1, todo.pk: 5}
    assert total_of(page_of(client_of(reader), f"?view={view.pk}")) == 1


def test_more_views_cost_no_more_queries(
    rows: None, reader: User, client_of: ClientOf, django_assert_num_queries: Any
) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    client = client_of(reader)
    view = saved.save(reader, "0", DOCS)
    with CaptureQueriesContext(connection) as few:
        page_of(client, f"?view={view.pk}")
    for n in range(1, 12):
        saved.save(reader, str(n), DOCS, shared=bool(n % 2))
    with CaptureQueriesContext(connection) as many:
        page_of(client, f"?view={view.pk}")
    assert len(many) == len(few)


def test_another_page_of_the_same_list_leaves_the_views_as_they_are(
    rows: None, reader: User, client_of: ClientOf
) -> None:
    view = saved.save(reader, "Docs", DOCS)

    def pane_alone(query: str) -> str:
        headers = {
            "HX-Request": "true",
            "HX-Target": "pane",
            "HX-Current-URL": f"http://testserver/completions/?{DOCS}&view={view.pk}",
        }
        return client_of(reader).get(f"/completions/?{query}", headers=headers).content.decode()

    assert 'id="views"' not in pane_alone(f"{DOCS}&view={view.pk}&after=1790000003.4.1")
    turned = pane_alone(f"q=meta.category%3Adocs&view={view.pk}")
    assert 'id="views"' in turned
    assert "changed</span>" in turned


@pytest.mark.parametrize("here", ["http://[x", "?" + "&".join(f"a{n}=1" for n in range(200))])
def test_an_address_that_cannot_be_read_draws_the_views_anew(
    here: str, rows: None, reader: User, client_of: ClientOf
) -> None:
    headers = {"HX-Request": "true", "HX-Target": "pane", "HX-Current-URL": here}
    answer = client_of(reader).get(f"/completions/?{DOCS}", headers=headers)
    assert answer.status_code == 200
    assert 'id="views"' in answer.content.decode()


def test_known_connections_give_the_same_views(east: Connection, west: Connection) -> None:
    owner, near = factories.user("", "reader"), factories.user("", "reader", east)
    saved.save(owner, "One", "", shared=True)
    saved.save(owner, "Two", "q=connection%3Awest", shared=True)
    views = SavedView.objects
    assert list(views.readable_by(near)) == list(views.readable_by(near, [east.pk]))
    assert views.readable_by(near, [east.pk]).count() == 1
    assert views.readable_by(near, [east.pk, west.pk]).count() == 2
    assert views.readable_by(near, []).count() == 0


# The palette.


def test_more_of_everything_costs_the_palette_no_more_queries(
    rows: None, reader: User, client_of: ClientOf
) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    chief = factories.user()
    factories.grant(chief, "reader")
    saved.save(chief, "East of 0", "", shared=True)
    with CaptureQueriesContext(connection) as few:
        palette.entries(reader, "chatcmpl-east")
    for n in range(8):
        factories.connection(f"East {n}")
        saved.save(chief, f"East again {n}", "", shared=True)
    with CaptureQueriesContext(connection) as many:
        palette.entries(reader, "chatcmpl-east")
    assert len(many) == len(few)


def titles(user: User, typed: str) -> list[tuple[str, str]]:
    return [(entry.kind, entry.title) for entry in palette.entries(user, typed)]


def test_what_begins_so_stands_before_what_holds_it(reader: User, east: Connection) -> None:
    for name in ("My docs", "Undocumented", "Docs"):
        saved.save(reader, name, "")
    assert titles(reader, "docs")[:2] == [("View", "Docs"), ("View", "My docs")]
    assert [title for kind, title in titles(reader, "doc") if kind == "View"] == [
        "Docs", "My docs", "Undocumented",
    ]  # fmt: skip
    assert titles(reader, "docs")[-1] == ("Filter", "Filter: docs")


def test_a_condition_on_a_field_is_a_filter_first(reader: User) -> None:
    first = palette.entries(reader, "model:gpt-4o")[0]
    assert (first.kind, first.href) == ("Filter", "/completions/?q=model%3Agpt-4o&view=all")
    assert palette.entries(reader, "nofield:x")[-1].hint == "cannot be read"


def test_the_palette_finds_a_completion_by_its_id(east: Connection, west: Connection) -> None:
    make_completion(east, upstream_id="chatcmpl-abc-1")
    make_completion(west, upstream_id="chatcmpl-abc-2")
    everywhere, near = factories.user("", "reader"), factories.user("", "reader", east)
    assert titles(everywhere, "chatcmpl-abc-2")[0] == ("Completion", "chatcmpl-abc-2")
    found = [title for kind, title in titles(everywhere, "chatcmpl-abc") if kind == "Completion"]
    assert found == ["chatcmpl-abc-1", "chatcmpl-abc-2"]
    found = [title for kind, title in titles(near, "chatcmpl-abc") if kind == "Completion"]
    assert found == ["chatcmpl-abc-1"]
    assert not [title for kind, title in titles(near, "chatc") if kind == "Completion"]


def test_the_palette_names_only_what_one_may_read(east: Connection, west: Connection, outsider: User) -> None:
    near, builder = factories.user("", "reader", east), factories.user("", "builder", west)
    saved.save(factories.user("", "reader", west), "Western", "", shared=True)
    kinds = {kind for kind, _ in titles(near, "west")} | {kind for kind, _ in titles(outsider, "west")}
    assert kinds == {"Filter"}
    assert ("Do", "Sync East now") not in titles(near, "east")
    assert ("Connection", "East") in titles(near, "east")
    assert {("View", "Western"), ("Connection", "West")} <= set(titles(builder, "west"))


@pytest.mark.parametrize("typed", ["\x00", "%", "'", "é" * 300, '"open', "(" * 50, "\\", "<b>x</b>", "ﷺ"])
def test_nothing_typed_breaks_the_palette(
    typed: str, reader: User, east: Connection, client_of: ClientOf
) -> None:
    answer = client_of(reader).get("/completions/palette/", {"typed": typed}, headers={"HX-Request": "true"})
    assert answer.status_code == 200
    assert "<b>x" not in answer.content.decode()
