"""Files with private keys."""

import os
import secrets
from typing import Union


def write_private_file(path: Union[str, "os.PathLike[str]"], content: str) -> None:
    """Writes a file with mode 0600 that replaces an old one at once.

    Readers see the complete old or the complete new file.
    """
    temporary = f"{os.fspath(path)}.{secrets.token_hex(8)}"
    # Fails if the name exists, also as a link that somebody else made.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
