"""Client of the Token Translation Service."""

from .client import Proxy, TtsClient
from .errors import TtsClientError, TtsForeignAnswer, TtsProblem, TtsUnreachable
from .files import write_private_file

__all__ = [
    "Proxy",
    "TtsClient",
    "TtsClientError",
    "TtsForeignAnswer",
    "TtsProblem",
    "TtsUnreachable",
    "write_private_file",
]
