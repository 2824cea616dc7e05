"""What can go wrong."""

from typing import List, Optional

from .api_types import Problem


class TtsClientError(Exception):
    """Base class of all errors of this client. No message holds a token or a key."""


class TtsProblem(TtsClientError):
    """The service refused the request. Decide on `code`; its page `/problems/CODE` explains it."""

    def __init__(self, problem: Problem, retry_after_seconds: Optional[int]) -> None:
        detail, code = problem["detail"], problem["code"]
        self.request_id = problem.get("request_id", "")
        super().__init__(f"the service refused: {detail} ({code}, request {self.request_id})")
        self.status = problem["status"]
        self.code = code
        self.check: Optional[str] = problem.get("check")
        self.detail = detail
        audiences: object = problem.get("accepted_audiences")
        self.accepted_audiences: List[str] = (
            [str(one) for one in audiences] if isinstance(audiences, list) else []
        )
        self.retry_after_seconds = retry_after_seconds


class TtsUnreachable(TtsClientError):
    """The service cannot be reached, or did not answer in time."""


class TtsForeignAnswer(TtsClientError):
    """Another program answered: a gateway before the service, or something else at this address."""

    def __init__(self, status: int, retry_after_seconds: Optional[int] = None) -> None:
        super().__init__(
            f"the answer is not from a Token Translation Service: HTTP status {status}"
        )
        self.status = status
        self.retry_after_seconds = retry_after_seconds
