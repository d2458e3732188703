"""The forms of a connection: the fields that its kind needs, and a secret that is written and never read."""

from datetime import UTC, datetime, time
from typing import Any

from django import forms
from django.contrib.auth.models import Group

from portal.connections import check_address
from portal.models import Auth, Connection, Kind, Role, User
from portal.upstream import UpstreamError
from portal.upstream.addresses import api_root

AZURE = (Kind.AZURE_V1, Kind.AZURE_DATED)
ENDPOINT = {
    Kind.AZURE_V1: (
        "Endpoint",
        "As the Azure portal shows it: https://NAME.openai.azure.com or …services.ai.azure.com",
    ),
    Kind.AZURE_DATED: ("Endpoint", "As the Azure portal shows it: https://NAME.openai.azure.com"),
    Kind.OPENAI: ("Base URL", "Leave it unless your account lives in a data region."),
    Kind.COMPATIBLE: (
        "Base URL",
        "What its code samples give as base_url. Its host must be in UPSTREAM_ALLOW.",
    ),
}


class PairsField(forms.CharField):
    """Metadata pairs as lines of `key=value`."""

    widget = forms.Textarea(attrs={"rows": 3, "spellcheck": "false", "placeholder": "env=production"})

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, dict):
            return "\n".join(f"{key}={text}" for key, text in value.items())
        return value

    def to_python(self, value: Any) -> Any:
        if isinstance(value, dict):
            return value
        pairs: dict[str, str] = {}
        for line in str(value or "").splitlines():
            if not line.strip():
                continue
            key, equals, text = line.partition("=")
            key, text = key.strip(), text.strip()
            if not equals or not key or not text:
                raise forms.ValidationError("Write one key=value on each line; neither may be empty.")
            if len(key) > 64 or len(text) > 512:
                raise forms.ValidationError("A key has at most 64 characters, a value 512.")
            pairs[key] = text
        if len(pairs) > 16:
            raise forms.ValidationError("At most 16 pairs.")
        return pairs


class ConnectionForm(forms.ModelForm[Connection]):
    """A connection of one kind. The secret fields are empty each time the form is shown."""

    api_key = forms.CharField(
        required=False,
        max_length=500,
        strip=True,
        label="API key",
        widget=forms.PasswordInput(attrs={"autocomplete": "off", "data-1p-ignore": ""}),
    )
    client_secret = forms.CharField(
        required=False,
        max_length=500,
        strip=True,
        label="Client secret",
        widget=forms.PasswordInput(attrs={"autocomplete": "off", "data-1p-ignore": ""}),
    )
    since = forms.DateField(
        required=False,
        label="Created since",
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text="Older completions are not mirrored.",
    )
    scope_metadata = PairsField(
        required=False, label="Metadata", help_text="One key=value on each line; all must hold."
    )

    class Meta:
        model = Connection
        fields = [
            "name",
            "kind",
            "base_url",
            "api_version",
            "auth",
            "tenant_id",
            "client_id",
            "scope",
            "management_url",
            "subscription_id",
            "resource_group",
            "account_name",
            "scope_model",
            "scope_metadata",
            "sync_enabled",
            "sync_every_minutes",
            "overlap_minutes",
            "sweep_every_hours",
        ]
        labels = {
            "api_version": "API version",
            "auth": "Sign in with",
            "tenant_id": "Tenant",
            "client_id": "Client id",
            "scope": "Token scope",
            "management_url": "Management address",
            "subscription_id": "Subscription id",
            "account_name": "Account name",
            "scope_model": "Model",
            "sync_enabled": "Sync on schedule",
            "sync_every_minutes": "New rows every … minutes",
            "overlap_minutes": "Read again the last … minutes",
            "sweep_every_hours": "Compare everything every … hours",
        }
        help_texts = {
            "scope_model": "Only this model, as upstream names it (gpt-4.1-2025-04-14).",
            "overlap_minutes": "Upstream may list a completion late.",
            "sweep_every_hours": "Finds what was deleted or changed upstream.",
            "account_name": "The name of the Azure OpenAI or Foundry resource.",
            "scope": "Empty means the default of the API surface.",
            "management_url": "Empty means https://management.azure.com; another one for a national cloud.",
        }

    def __init__(self, *args: Any, kind: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kind = kind
        azure = kind in AZURE
        self.fields["kind"] = forms.ChoiceField(
            label="API surface",
            choices=[(choice.value, choice.label) for choice in (AZURE if azure else (Kind(kind),))],
            initial=kind,
            widget=forms.Select if azure and self.instance.pk else forms.HiddenInput,
        )
        label, help_text = ENDPOINT[Kind(kind)]
        self.fields["base_url"].label, self.fields["base_url"].help_text = label, help_text
        self.fields["base_url"].widget = forms.URLInput(attrs={"spellcheck": "false"})
        if kind == Kind.OPENAI and not self.instance.pk:
            self.fields["base_url"].initial = "https://api.openai.com/v1/"
        if not azure:
            for name in (
                "api_version", "tenant_id", "client_id", "client_secret", "scope", "management_url",
                "subscription_id", "resource_group", "account_name",
            ):  # fmt: skip
                del self.fields[name]
        else:
            dated = kind == Kind.AZURE_DATED
            self.fields["api_version"].help_text = (
                "Empty means 2025-04-01-preview."
                if dated
                else "Empty means v1; “preview” for preview features."
            )
        self.fields["auth"] = forms.ChoiceField(
            label="Sign in with",
            choices=[(c.value, c.label) for c in Auth if c != Auth.NONE]
            if azure
            else [(Auth.KEY.value, Auth.KEY.label)],
            initial=Auth.KEY,
            widget=forms.RadioSelect if azure else forms.HiddenInput,
        )
        if self.instance.pk:
            self.fields["auth"].initial = self.instance.auth
            if self.instance.scope_since:
                self.fields["since"].initial = self.instance.scope_since.astimezone(UTC).date()
            kept = self._kept()
            if kept:
                for name in ("api_key", "client_secret"):
                    if name in self.fields:
                        self.fields[name].help_text = kept
        self._say_what_is_required()
        self.fields["sync_every_minutes"].widget.attrs["min"] = 1
        self.fields["overlap_minutes"].widget.attrs["min"] = 0
        self.fields["sweep_every_hours"].widget.attrs["min"] = 1

    def _say_what_is_required(self) -> None:
        """What the chosen way of signing in needs; a browser would ask for hidden fields too."""
        self.use_required_attribute = False
        chosen = self.data.get("auth") if self.is_bound else None
        kept = self.instance.pk is not None
        for name, auth in (
            ("api_key", Auth.KEY),
            ("client_secret", Auth.ENTRA_SECRET),
            ("tenant_id", Auth.ENTRA_SECRET),
        ):
            if name in self.fields and not (kept and name != "tenant_id"):
                self.fields[name].required = chosen in (None, auth.value)

    def _kept(self) -> str:
        connection = self.instance
        if not connection.secret_set_at:
            return ""
        ending = f" ending in {connection.secret_last4}" if connection.secret_last4 else ""
        return (
            f"The stored one{ending}, set on {connection.secret_set_at:%d %b %Y}, stays if this is empty."
            " It is dropped when the address, the tenant or the way of signing in changes."
        )

    def clean_name(self) -> str:
        return " ".join(self.cleaned_data["name"].split())

    def clean_api_key(self) -> str:
        return self._secret("api_key")

    def clean_client_secret(self) -> str:
        return self._secret("client_secret")

    def _secret(self, name: str) -> str:
        secret: str = self.cleaned_data.get(name) or ""
        if any(not "!" <= character <= "~" for character in secret):
            raise forms.ValidationError(
                "This holds characters that no key or secret has; was it copied whole?"
            )
        return secret

    def _address(self, name: str, *, kind: str = "") -> str:
        url = (self.cleaned_data.get(name) or "").strip()
        if not url:
            return ""
        try:
            check_address(api_root(kind, url) if kind else url)
        except UpstreamError as error:
            raise forms.ValidationError(
                " ".join(part for part in (error.message, error.hint) if part)
            ) from None
        return url

    def clean_base_url(self) -> str:
        return self._address("base_url", kind=self.cleaned_data.get("kind") or self.kind)

    def clean_management_url(self) -> str:
        return self._address("management_url")

    def clean_sync_every_minutes(self) -> int:
        return self._at_least_one("sync_every_minutes")

    def clean_sweep_every_hours(self) -> int:
        return self._at_least_one("sweep_every_hours")

    def _at_least_one(self, name: str) -> int:
        value: int = self.cleaned_data[name]
        if not 1 <= value <= 100_000:
            raise forms.ValidationError("Enter a number from 1 to 100,000.")
        return value

    def clean(self) -> dict[str, Any]:
        super().clean()
        data = self.cleaned_data
        auth = data.get("auth")
        if auth == Auth.ENTRA_SECRET and not (data.get("client_id") or "").strip():
            self.add_error("client_id", "A client secret needs the client id.")
        # What belongs to another way of signing in is not kept, nor asked for when it is wrong.
        if auth == Auth.KEY:
            data |= {name: "" for name in ("tenant_id", "client_id", "scope") if name in self.fields}
        elif auth in (Auth.ENTRA_DEFAULT, Auth.ENTRA_MANAGED):
            data["tenant_id"] = ""
        return data

    def new_secret(self) -> str:
        """The secret that was typed for the chosen way of signing in."""
        names: dict[str, str] = {Auth.KEY.value: "api_key", Auth.ENTRA_SECRET.value: "client_secret"}
        name = names.get(str(self.cleaned_data.get("auth") or ""))
        return str(self.cleaned_data.get(name) or "") if name else ""

    def edited(self) -> Connection:
        """The connection with what was entered, not saved."""
        connection: Connection = super().save(commit=False)
        since = self.cleaned_data.get("since")
        connection.scope_since = datetime.combine(since, time.min, UTC) if since else None
        return connection


class FilesForm(forms.ModelForm[Connection]):
    """A connection that is filled from files: all there is to it is its name."""

    class Meta:
        model = Connection
        fields = ["name"]

    def clean_name(self) -> str:
        return " ".join(self.cleaned_data["name"].split())

    def new_secret(self) -> str:
        """It has none."""
        return ""

    def edited(self) -> Connection:
        """The connection with what was entered, not saved."""
        connection: Connection = super().save(commit=False)
        return connection


class GrantForm(forms.Form):
    """Give one person or one group a role."""

    person = forms.CharField(
        required=False,
        max_length=254,
        help_text="User name or e-mail address.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    group = forms.ModelChoiceField(Group.objects.order_by("name"), required=False, empty_label="No group")
    role = forms.ChoiceField(choices=Role.choices)

    def __init__(self, *args: Any, may_name_operators: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not may_name_operators:
            self.fields["role"] = forms.ChoiceField(
                choices=[choice for choice in Role.choices if choice[0] != Role.OPERATOR]
            )
        if not Group.objects.exists():
            del self.fields["group"]
            self.fields["person"].required = True

    def clean(self) -> dict[str, Any]:
        super().clean()
        data = self.cleaned_data
        named = (data.get("person") or "").strip()
        if bool(named) == bool(data.get("group")):
            if not self.errors:
                self.add_error("person", "Name one person or choose one group.")
            return data
        if named:
            found = list(User.objects.filter(username=named)[:2]) or list(
                User.objects.filter(email__iexact=named, is_active=True)[:2]
            )
            if len(found) != 1:
                self.add_error("person", "Nobody here has this user name or address.")
            else:
                data["user"] = found[0]
        return data


class StoreTestForm(forms.Form):
    """Which model answers the test completion."""

    model = forms.CharField(max_length=200, label="Model or deployment", widget=forms.TextInput())


class DeleteForm(forms.Form):
    """The connection's name, typed, as a confirmation."""

    name = forms.CharField(max_length=80, label="Type its name to confirm", widget=forms.TextInput())

    def __init__(self, *args: Any, expected: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.expected = expected
        self.fields["name"].widget.attrs |= {"autocomplete": "off", "spellcheck": "false"}

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if name.strip() != self.expected:
            raise forms.ValidationError("This is not the connection's name.")
        return name
