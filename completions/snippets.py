"""Code that stores a first completion on a connection, to copy into one's own application.

https://learn.microsoft.com/azure/ai-foundry/openai/how-to/stored-completions
"""

from dataclasses import dataclass

from completions.literals import python_string
from portal.models import Auth, Connection, Kind
from portal.upstream.addresses import api_root

OPENAI = "https://api.openai.com/v1"

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


def key_name(connection: Connection) -> str:
    """The environment variable that holds the key of such a connection."""
    if connection.kind in (Kind.OPENAI, Kind.FILES):
        return "OPENAI_API_KEY"
    return "API_KEY" if connection.kind == Kind.COMPATIBLE else "AZURE_OPENAI_API_KEY"


def token_scope(connection: Connection) -> str:
    """What a Microsoft Entra ID token has to be for."""
    return connection.scope or (_V1 if connection.kind == Kind.AZURE_V1 else _DATED)


def made_client(connection: Connection) -> str:
    """The lines that make a client for a connection, signing in as it does; no secret is in them."""
    dated = connection.kind == Kind.AZURE_DATED
    sdk = "AzureOpenAI" if dated else "OpenAI"
    root = api_root(connection.kind, connection.base_url)
    if dated:
        endpoint = python_string(root.removesuffix("/openai"))
        arguments = [f"azure_endpoint={endpoint}", f"api_version={python_string(connection.api_version)}"]
    elif root == OPENAI or not connection.has_endpoint:
        arguments = []
    else:
        arguments = [f"base_url={python_string(root)}"]
    if connection.auth in (Auth.KEY, Auth.NONE):
        before = f"import os\n\nfrom openai import {sdk}\n\n"
        arguments.append(f'api_key=os.environ["{key_name(connection)}"]')
    else:
        before = (
            "from azure.identity import DefaultAzureCredential, get_bearer_token_provider\n"
            f"from openai import {sdk}\n\n"
            "token_provider = get_bearer_token_provider(\n"
            f"    DefaultAzureCredential(), {python_string(token_scope(connection))}\n)\n"
        )
        arguments.append("azure_ad_token_provider=token_provider" if dated else "api_key=token_provider")
    lines = "".join(f"    {argument},\n" for argument in arguments)
    return f"{before}client = {sdk}(\n{lines})\n"
