"""Kinds are stored in the database, so their derivation is pinned name by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awa.job.kind import derive_kind


@pytest.mark.parametrize(
    ("class_name", "kind"),
    [
        ("SendEmail", "send_email"),
        ("SendConfirmationEmail", "send_confirmation_email"),
        ("SMTPEmail", "smtp_email"),
        ("OAuthRefresh", "o_auth_refresh"),
        ("PDFRenderJob", "pdf_render_job"),
        ("ProcessV2Import", "process_v2_import"),
        ("ReconcileQ3Revenue", "reconcile_q3_revenue"),
        ("HTMLToPDF", "html_to_pdf"),
        ("IOError", "io_error"),
        ("HTTPServer2Go", "http_server2_go"),
        ("sendEmail", "send_email"),
        ("ABc", "a_bc"),
        ("Foo_Bar", "foo_bar"),
        ("X1Y", "x1_y"),
        ("ÀÉc", "à_éc"),
        ("İstanbul", "istanbul"),
        ("K9s", "k9s"),
        ("OAuth2Token", "o_auth2_token"),
        ("Job2A2b", "job2_a2b"),
        ("_Private", "_private"),
        ("dict", "dict"),
        ("A", "a"),
        ("", ""),
    ],
)
def test_golden(class_name: str, kind: str) -> None:
    assert derive_kind(class_name) == kind


@given(st.text(alphabet=st.characters(max_codepoint=0x7F)))
def test_a_kind_is_its_own_kind(name: str) -> None:
    kind = derive_kind(name)
    assert derive_kind(kind) == kind
    assert kind.replace("_", "") == name.lower().replace("_", "")
