"""Moderators: who they are, what they may do where, and how they sign in.

The one rule: nothing here is kept that could be used to sign in. Passwords are argon2id hashes,
cookies and links are hashes of random values, and both are shown once.
"""

from service.moderators.accounts import (
    FIRST_OWNER,
    Account,
    Member,
    Person,
    Role,
    close,
    create,
    find,
    fold,
    listing,
    members,
    remove,
    rename,
    set_role,
)
from service.moderators.links import (
    Invitation,
    Link,
    Purpose,
    invitations,
    link_url,
    look,
    withdraw,
)
from service.moderators.passwords import LEAST_CHARACTERS
from service.moderators.sessions import (
    SessionView,
    end_session,
    session_of,
    sessions_of,
    sign_out,
    sign_out_everywhere,
)
from service.moderators.signing import (
    accept,
    change_password,
    first_link,
    invite,
    join,
    nobody_signed_in,
    reset,
    sign_in,
)

__all__ = [
    "FIRST_OWNER",
    "LEAST_CHARACTERS",
    "Account",
    "Invitation",
    "Link",
    "Member",
    "Person",
    "Purpose",
    "Role",
    "SessionView",
    "accept",
    "change_password",
    "close",
    "create",
    "end_session",
    "find",
    "first_link",
    "fold",
    "invitations",
    "invite",
    "join",
    "link_url",
    "listing",
    "look",
    "members",
    "nobody_signed_in",
    "remove",
    "rename",
    "reset",
    "session_of",
    "sessions_of",
    "set_role",
    "sign_in",
    "sign_out",
    "sign_out_everywhere",
    "withdraw",
]
