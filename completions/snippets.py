"""Code that stores a first completion on a connection, to copy into one's own application.

https://learn.microsoft.com/azure/ai-foundry/openai/how-to/stored-completions
"""

from dataclasses import dataclass

from portal.models import Auth, Connection, Kind

_CALL = """
completion = client.chat.completions.create(
    model="{model}",  # {what}
    store=True,
    metadata={{"category": "first-try"}},
    messages=[{{"role": "user", "content": "Say hello."}}],
)
print(completion.id)
"""
_TOKENS = """from azure.identity import DefaultAzureCredential, get_bearer_token_provider
{imports}
token_provider = get_bearer_token_provider(DefaultAzureCredential(), "{scope}")
"""
_V1 = "https://ai.azure.com/.default"
_DATED = "https://cognitiveservices.azure.com/.default"


@dataclass(frozen=True, slots=True)
class Snippet:
    """One way to sign in, as code."""

    title: str
    code: str


def snippets(connection: Connection) -> tuple[Snippet, ...]:
    """The connection's own way to sign in first; on Azure both of them."""
    if connection.kind == Kind.AZURE_V1:
        entra, key = _azure_v1(connection)
    elif connection.kind == Kind.AZURE_DATED:
        entra, key = _azure_dated(connection)
    else:
        return (Snippet("API key", _key_only(connection)),)
    made = (Snippet("Microsoft Entra ID", entra), Snippet("API key", key))
    return made[::-1] if connection.auth == Auth.KEY else made


def _azure_v1(connection: Connection) -> tuple[str, str]:
    call = _CALL.format(model="YOUR-DEPLOYMENT", what="the name of a deployment")
    tokens = _TOKENS.format(imports="from openai import OpenAI\n", scope=connection.scope or _V1)
    entra = f'{tokens}client = OpenAI(base_url="{connection.base_url}", api_key=token_provider)\n{call}'
    key = (
        "import os\n\nfrom openai import OpenAI\n\n"
        f'client = OpenAI(\n    base_url="{connection.base_url}",\n'
        f'    api_key=os.environ["AZURE_OPENAI_API_KEY"],\n)\n{call}'
    )
    return entra, key


def _azure_dated(connection: Connection) -> tuple[str, str]:
    call = _CALL.format(model="YOUR-DEPLOYMENT", what="the name of a deployment")
    tokens = _TOKENS.format(imports="from openai import AzureOpenAI\n", scope=connection.scope or _DATED)
    where = f'    azure_endpoint="{connection.base_url}",\n    api_version="{connection.api_version}",\n'
    entra = f"{tokens}client = AzureOpenAI(\n{where}    azure_ad_token_provider=token_provider,\n)\n{call}"
    key = (
        "import os\n\nfrom openai import AzureOpenAI\n\n"
        f'client = AzureOpenAI(\n{where}    api_key=os.environ["AZURE_OPENAI_API_KEY"],\n)\n{call}'
    )
    return entra, key


def _key_only(connection: Connection) -> str:
    call = _CALL.format(model="gpt-4.1-mini", what="any chat model of yours")
    if connection.kind == Kind.OPENAI:
        made = "from openai import OpenAI\n\nclient = OpenAI()  # reads OPENAI_API_KEY\n"
    else:
        made = (
            "import os\n\nfrom openai import OpenAI\n\n"
            f'client = OpenAI(base_url="{connection.base_url}", api_key=os.environ["API_KEY"])\n'
        )
    return made + call
