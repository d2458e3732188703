"""One completion in full, as an object: what stands around its conversation."""

from functools import cached_property

from completions.addresses import drawer_address
from completions.filters import Filter
from completions.filters.fields import FLAGS
from completions.listing import Key
from completions.models import Body, StoredCompletion
from completions.pane import Pane
from portal.wording import NOTHING


class Drawer:
    """One completion in full, within the result it was opened from."""

    def __init__(self, pane: Pane, row: StoredCompletion) -> None:
        self.pane, self.row = pane, row

    @cached_property
    def body(self) -> Body | None:
        return Body.objects.filter(pk=self.row.pk).first()

    tabs = (("conversation", "Conversation"), ("details", "Details"), ("json", "JSON"))

    @property
    def link(self) -> str:
        """Its own address, without the result it was opened from."""
        return drawer_address(self.row.connection.slug, self.row.upstream_id, self.row.pk)

    @property
    def _here(self) -> str:
        row = self.row
        address = drawer_address(row.connection.slug, row.upstream_id, row.pk, self.pane.query)
        return address + ("&" if "?" in address else "?")

    @property
    def tab_address(self) -> str:
        return f"{self._here}tab="

    @property
    def text_address(self) -> str:
        return f"{self._here}text="

    @property
    def tokens(self) -> str:
        sent, answered = self.row.prompt_tokens, self.row.completion_tokens
        if sent is None or answered is None:
            return NOTHING if self.row.total_tokens is None else f"{self.row.total_tokens:,}"
        return f"{sent:,} → {answered:,}"

    @property
    def flags(self) -> str:
        return ", ".join(FLAGS.get(flag, flag) for flag in self.row.flags)

    @property
    def metadata_links(self) -> dict[str, str]:
        """The pane with one pair alone, by key."""
        return {
            key: self.pane.address(Filter().only(Filter.key(key), value))
            for key, value in self.row.metadata.items()
        }

    @property
    def newer(self) -> str:
        return self._neighbour(self.pane.listing.page(1, before=self._place))

    @property
    def older(self) -> str:
        return self._neighbour(self.pane.listing.page(1, after=self._place))

    @property
    def _place(self) -> Key:
        return Key(self.row.created, self.row.pk)

    def _neighbour(self, keys: list[Key]) -> str:
        if not keys:
            return ""
        pk = keys[0].id
        row = StoredCompletion.objects.filter(pk=pk).values("connection_id", "upstream_id").first()
        slugs = {each.pk: each.slug for each in self.pane.connections}
        if row is None:
            return ""
        return drawer_address(slugs[row["connection_id"]], row["upstream_id"], pk, self.pane.query)
