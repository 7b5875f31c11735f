"""Mail to a mail server on this host, as it arrives there (outputs.md 3)."""

from __future__ import annotations

import socketserver
import threading
import time
from email import message_from_bytes, policy

import pytest

from ci_gate.config.settings import SmtpSettings
from ci_gate.mail.smtp import compose, send_mail
from ci_gate.model.report import DeliveryOutcome, Mail

MAIL = Mail("smtp", "Report for change 12,3", "Build failed.\n\n- unit : FAILURE\n", to="qa@acme.test, ops@acme.test")


USUAL = {"QUIT": b"221 bye"}


class MailServer(socketserver.ThreadingTCPServer):
    """Speaks just enough SMTP; ``answers`` replaces the answer to a verb or a line in lower case; None: silence."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.commands: list[str] = []
        self.message = b""
        self.answers: dict[str, bytes | None] = {}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def settings(self) -> SmtpSettings:
        return SmtpSettings("smtp", "127.0.0.1", self.server_address[1], default_from="ci@acme.test")


class _Session(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self.wfile.write(b"220 mail\r\n")
        while line := self.rfile.readline().decode().strip():
            self.server.commands.append(line)
            verb = line.split()[0].upper()
            answer = self.server.answers.get(line.lower(), self.server.answers.get(verb, USUAL.get(verb, b"250 fine")))
            if answer is None:
                time.sleep(5)
                return
            if verb == "DATA" and answer == b"250 fine":
                self.wfile.write(b"354 go on\r\n")
                self.server.message = b"".join(iter(self.rfile.readline, b".\r\n"))
            self.wfile.write(answer + b"\r\n")
            if verb == "QUIT":
                return


@pytest.fixture
def server():
    made = MailServer()
    yield made
    made.shutdown()
    made.server_close()


async def test_a_mail_reaches_every_recipient_as_one_message(server):
    delivery = await send_mail(server.settings, MAIL, deadline_s=10)
    assert delivery.outcome is DeliveryOutcome.DELIVERED
    spoken = [each.lower() for each in server.commands if each.lower().startswith(("mail", "rcpt"))]
    assert spoken == ["mail from:<ci@acme.test>", "rcpt to:<qa@acme.test>", "rcpt to:<ops@acme.test>"]
    message = message_from_bytes(server.message, policy=policy.default)
    assert (message["From"], message["To"]) == ("ci@acme.test", "qa@acme.test, ops@acme.test")
    assert message["Subject"] == "Report for change 12,3"
    assert message["Date"]
    assert message["Message-ID"]
    assert message.get_content().splitlines() == MAIL.body.splitlines()


@pytest.mark.parametrize(
    ("url", "arrives_as_it_is"), [("https://logs.acme.test/" + 80 * "x", True), (980 * "x", False)]
)
async def test_a_job_line_is_not_broken_unless_it_is_too_long_for_mail_servers(server, url, arrives_as_it_is):
    line = f"- unit {url} : SUCCESS in 2m 05s"
    await send_mail(
        server.settings, Mail("smtp", "s", f"Build succeeded.\n\n{line}\n", to="qa@acme.test"), deadline_s=10
    )
    assert (line.encode() in server.message.splitlines()) is arrives_as_it_is
    assert line in message_from_bytes(server.message, policy=policy.default).get_content().splitlines()


async def test_other_alphabets_arrive(server):
    await send_mail(
        server.settings, Mail("smtp", "Änderung 😀", "Fehlgeschlagen: ä€😀\n", to="qa@acme.test"), deadline_s=10
    )
    message = message_from_bytes(server.message, policy=policy.default)
    assert message["Subject"] == "Änderung 😀"
    assert message.get_content().splitlines() == ["Fehlgeschlagen: ä€😀"]


async def test_the_layouts_sender_goes_before_the_configured_one(server):
    await send_mail(
        server.settings, Mail("smtp", "s", "b\n", to="qa@acme.test", sender="gate@acme.test"), deadline_s=10
    )
    assert any("gate@acme.test" in each for each in server.commands)


def test_a_subject_cannot_bring_headers_of_its_own():
    message = compose(SmtpSettings("smtp"), Mail("smtp", "x\r\nBcc: spy@evil.test\n", "b\n", to="qa@acme.test"))
    assert message["Bcc"] is None
    assert message["Subject"] == "x Bcc: spy@evil.test"


async def test_one_refused_recipient_does_not_stop_the_mail(server):
    server.answers["rcpt to:<ops@acme.test>"] = b"550 unknown"
    delivery = await send_mail(server.settings, MAIL, deadline_s=10)
    assert delivery.outcome is DeliveryOutcome.DELIVERED
    assert "ops@acme.test" in delivery.text


@pytest.mark.parametrize(
    ("answer", "outcome"), [(b"550 no", DeliveryOutcome.REFUSED), (b"451 later", DeliveryOutcome.TRANSIENT)]
)
async def test_a_refusal_is_for_good_or_for_now_as_its_code_says(server, answer, outcome):
    server.answers["RCPT"] = answer
    assert (await send_mail(server.settings, MAIL, deadline_s=10)).outcome is outcome


async def test_a_mail_that_was_taken_is_delivered_however_the_server_says_goodbye(server):
    server.answers["QUIT"] = b"421 going down"
    assert (await send_mail(server.settings, MAIL, deadline_s=10)).outcome is DeliveryOutcome.DELIVERED


async def test_a_server_that_says_nothing_is_given_up_in_time(server):
    server.answers["EHLO"] = server.answers["HELO"] = None
    began = time.monotonic()
    delivery = await send_mail(server.settings, MAIL, deadline_s=2)
    assert delivery.outcome is DeliveryOutcome.TRANSIENT
    assert time.monotonic() - began < 2


async def test_a_server_that_is_away_is_named():
    delivery = await send_mail(SmtpSettings("smtp", "127.0.0.1", 1), MAIL, deadline_s=5)
    assert delivery.outcome is DeliveryOutcome.TRANSIENT
    assert delivery.text.startswith("mail server 127.0.0.1:1: ")
