"""Every table of the ledger, but for the people's (`service.core.moderators.tables`).

The one rule: what must never happen is forbidden here by a constraint, not only by code: two
decisions on the same version of a comment, two automatic ones on the same text, two comments
for one Idempotency-Key or one external id.
"""

from service.ledger.models.campaigns import BANDS, CAMPAIGNS, Campaign, CampaignBand
from service.ledger.models.columns import Id, Json, JsonOrNull
from service.ledger.models.comments import (
    AUTHOR_ACTOR,
    COMMENTS,
    DECISIONS,
    IS_PUBLIC,
    POLICY_ACTOR,
    THREADS,
    VERIFIED_AUTHORS,
    Comment,
    Decision,
    Thread,
    VerifiedAuthor,
    came_before,
    came_since,
    is_automatic,
)
from service.ledger.models.confirmations import CONFIRMATIONS, SILENCED_MAILBOXES, Confirmation
from service.ledger.models.learning import (
    SHADOW_RULINGS,
    LabelRelease,
    ModelChange,
    ModelVersion,
    Preview,
    ShadowRuling,
)
from service.ledger.models.objections import OBJECTIONS, Objection
from service.ledger.models.retention import RETENTION_MARKS, RetentionMark
from service.ledger.models.search import (
    ENTRIES,
    FILL,
    FILTERS,
    FILTERS_MOST,
    SavedFilter,
    SearchEntry,
    SearchFill,
)
from service.ledger.models.second_looks import SECOND_LOOKS, SecondLook
from service.ledger.models.sites import SITES, ApiKey, SettingChange, Site
from service.ledger.models.storms import STORMS, Storm
from service.ledger.models.webhooks import (
    ATTEMPTS,
    DELIVERIES,
    ENDPOINTS,
    EVENTS,
    Attempt,
    Delivery,
    DeliveryStatus,
    Endpoint,
    Event,
)

__all__ = [
    "ATTEMPTS",
    "AUTHOR_ACTOR",
    "BANDS",
    "CAMPAIGNS",
    "COMMENTS",
    "CONFIRMATIONS",
    "DECISIONS",
    "DELIVERIES",
    "ENDPOINTS",
    "ENTRIES",
    "EVENTS",
    "FILL",
    "FILTERS",
    "FILTERS_MOST",
    "IS_PUBLIC",
    "OBJECTIONS",
    "POLICY_ACTOR",
    "RETENTION_MARKS",
    "SECOND_LOOKS",
    "SHADOW_RULINGS",
    "SILENCED_MAILBOXES",
    "SITES",
    "STORMS",
    "THREADS",
    "VERIFIED_AUTHORS",
    "ApiKey",
    "Attempt",
    "Campaign",
    "CampaignBand",
    "Comment",
    "Confirmation",
    "Decision",
    "Delivery",
    "DeliveryStatus",
    "Endpoint",
    "Event",
    "Id",
    "Json",
    "JsonOrNull",
    "LabelRelease",
    "ModelChange",
    "ModelVersion",
    "Objection",
    "Preview",
    "RetentionMark",
    "SavedFilter",
    "SearchEntry",
    "SearchFill",
    "SecondLook",
    "SettingChange",
    "ShadowRuling",
    "Site",
    "Storm",
    "Thread",
    "VerifiedAuthor",
    "came_before",
    "came_since",
    "is_automatic",
]
