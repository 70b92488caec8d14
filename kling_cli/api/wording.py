"""What people are told about a refusal: for each stable error code what happened and what to do."""

from collections.abc import Mapping
from typing import NamedTuple


class Wording(NamedTuple):
    """One sentence of what happened, one of what to do next; {source} is the token's origin."""

    says: str
    hint: str


_PAY = "Top up the account or the resource pack at the service; this request was not charged."
_LATER = "Nothing was charged: the same command later, a longer --timeout or fewer --jobs."
_CHANGE = "Change the request; what is wrong stands in the service's own words."
_FIND = "It may have been accepted: the same command looks for it and sends nothing a second time."
_LOGIN_PAGE = "A network login page, or a proxy? Open the address in a browser. " + _FIND

WORDINGS: Mapping[str, Wording] = {
    "token_refused": Wording(
        "Token refused (from {source}).",
        "Set the right one: kling config set token. A signed one needs a right clock, too.",
    ),
    "permission_denied": Wording(
        "Token refused (from {source}): it has no right to this API or model.",
        "Grant the right in the service's console, or set another one: kling config set token",
    ),
    "ip_not_allowed": Wording(
        "This machine's IP address is not on the service's allow-list.",
        "Add it in the service's console, or ask its support; waiting does not change it.",
    ),
    "account_abnormal": Wording(
        "The account at the service is in an abnormal state.",
        "Look at the account in the service's console; this request was not charged.",
    ),
    "balance_exhausted": Wording("Balance or resource pack exhausted.", _PAY),
    "rate_limited": Wording("The service takes no more requests at the moment.", _LATER),
    "concurrency_limit": Wording("Too many tasks of this account run at once.", _LATER),
    "service_maintenance": Wording("The service is under maintenance.", _LATER),
    "model_unavailable": Wording(
        "The gateway has no channel for this model at the moment.", _LATER
    ),
    "bad_parameter": Wording("The service refuses a parameter of the request.", _CHANGE),
    "request_refused": Wording("The service refuses the request.", _CHANGE),
    "policy_refused": Wording("The service's policy refuses the request.", _CHANGE),
    "content_refused": Wording(
        "The service's content check refuses the request.", "Use another picture."
    ),
    "request_too_large": Wording(
        "The service refuses this size.", "Use a smaller picture, or pass it by URL."
    ),
    "model_refused": Wording(
        "The service does not offer this model.", "Name another one with --model."
    ),
    "not_found": Wording(
        "The service knows no such task, model or scene.",
        "Check the id, the scene (kling scenes) and --model.",
    ),
    "no_effects_route": Wording(
        "There is no effects route at this base_url.",
        "kling config list shows base_url: all that stands before /v1/videos/effects.",
    ),
    "proxy_refused": Wording(
        "A proxy in front of the service refuses the request.",
        "Its page, not the service, answered; ask who runs it, or use another network.",
    ),
    "duplicate_external_id": Wording(
        "A task with this external task id exists already.",
        "kling status looks it up; nothing was sent a second time.",
    ),
    "service_error": Wording("The service had trouble of its own.", _FIND),
    "service_timeout": Wording("The service took too long.", _FIND),
    "redirected": Wording(
        "The service answered with a redirect, which is never followed.",
        "Is base_url right? kling config list. " + _FIND,
    ),
    "bad_response": Wording("The service's answer cannot be used.", _FIND),
    "foreign_page": Wording("A web page came instead of the service's answer.", _LOGIN_PAGE),
}
