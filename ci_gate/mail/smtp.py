"""One mail over SMTP (outputs.md 3). Blocking work runs in a thread, within a deadline."""

from __future__ import annotations

import asyncio
import re
import smtplib
from contextlib import suppress
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

from ci_gate.config.settings import SmtpSettings
from ci_gate.model.report import Delivery, DeliveryOutcome, Mail

FIRST_PERMANENT_CODE = 500
PLAIN = re.compile(r"(?:[\t -~]{0,998}\n)*[\t -~]{0,998}")  # SMTP takes lines of 998 bytes


async def send_mail(settings: SmtpSettings, mail: Mail, *, deadline_s: float) -> Delivery:
    """Send it to every recipient and tell what became of it."""
    return await asyncio.to_thread(_send, settings, mail, deadline_s)


def _send(settings: SmtpSettings, mail: Mail, deadline_s: float) -> Delivery:
    message = compose(settings, mail)
    recipients = _addresses(mail.to or settings.default_to)
    try:
        server = smtplib.SMTP(settings.server, settings.port, timeout=deadline_s / 4)
        try:
            refused = server.send_message(message, from_addr=message["From"], to_addrs=recipients)
        finally:
            _leave(server)
    except smtplib.SMTPRecipientsRefused as problem:
        return _failure(min(code for code, _ in problem.recipients.values()), f"all recipients refused: {problem}")
    except smtplib.SMTPResponseException as problem:
        return _failure(problem.smtp_code, str(problem))
    except (smtplib.SMTPException, OSError) as problem:
        return Delivery(DeliveryOutcome.TRANSIENT, f"mail server {settings.server}:{settings.port}: {problem}")
    return Delivery(DeliveryOutcome.DELIVERED, f"refused for {', '.join(refused)}" if refused else "")


def _leave(server: smtplib.SMTP) -> None:
    """However the farewell goes, it takes back nothing that was accepted."""
    with suppress(smtplib.SMTPException, OSError):
        server.quit()
    server.close()


def compose(settings: SmtpSettings, mail: Mail) -> EmailMessage:
    """Plain text in UTF-8; a comma list of recipients is one message."""
    message = EmailMessage()
    message["From"] = mail.sender or settings.default_from
    message["To"] = ", ".join(_addresses(mail.to or settings.default_to))
    message["Subject"] = " ".join(mail.subject.split())
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain="ci-gate.invalid")
    message.set_content(mail.body, cte="7bit" if _is_plain(mail.body) else None)
    return message


def _is_plain(text: str) -> bool:
    """Then it goes as it is: job lines are long, and scripts look for them in mails without decoding any."""
    return PLAIN.fullmatch(text) is not None


def _addresses(listed: str) -> list[str]:
    return [each.strip() for each in listed.split(",") if each.strip()]


def _failure(code: int, text: str) -> Delivery:
    permanent = code >= FIRST_PERMANENT_CODE
    return Delivery(DeliveryOutcome.REFUSED if permanent else DeliveryOutcome.TRANSIENT, text)
