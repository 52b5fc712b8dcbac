"""A real mail server (Dovecot) with mail from tests, as an unprivileged process on loopback."""

from __future__ import annotations

import getpass
import imaplib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.servers import Server, free_port, program

USER, PASSWORD = "support@eshin.test", 's3cret "पास" word'
#: Runs as this user when the tests run as root: Dovecot refuses to serve mail as root.
_NOBODY, _NOGROUP = 65534, 65534

_CONFIG = """
base_dir = {folder}/run
state_dir = {folder}/run
log_path = {folder}/dovecot.log
protocols = imap
listen = 127.0.0.1
ssl = {ssl}
{certificate}
disable_plaintext_auth = no
default_internal_user = {user}
default_login_user = {user}
default_internal_group = {group}
mail_location = maildir:{folder}/mail
first_valid_uid = 1
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {folder}/users
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={folder}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
  }}
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
auth_failure_delay = 0
"""


class Dovecot(Server):
    """One mailbox, of USER. With a certificate also over TLS."""

    def __init__(self, folder: Path, certificate: Path | None = None) -> None:
        super().__init__(folder)
        self.port = free_port()
        self.tls_port = free_port() if certificate else 0
        user = "nobody" if os.geteuid() == 0 else getpass.getuser()
        group = "nogroup" if os.geteuid() == 0 else str(os.getegid())
        tls = f"ssl_cert = <{folder}/mail.pem\nssl_key = <{folder}/mail.pem" if certificate else ""
        if certificate:
            shutil.copy(certificate, folder / "mail.pem")
        (folder / "users").write_text(f"{USER}:{PASSWORD}\n")
        (folder / "dovecot.conf").write_text(
            _CONFIG.format(
                folder=folder, ssl="yes" if certificate else "no", certificate=tls, user=user, group=group,
                port=self.port, tls_port=self.tls_port,
            )
        )  # fmt: skip

    def command(self) -> Sequence[str]:
        """The program, in the foreground."""
        drop = ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOGROUP}", "--clear-groups", "--pdeathsig", "KILL"]
        return [*(drop if os.geteuid() == 0 else []), program("dovecot"), "-F", "-c", str(self.folder / "dovecot.conf")]

    def answers(self) -> bool:
        """Whether one can sign in."""
        try:
            with self.session():
                return True
        except (OSError, imaplib.IMAP4.error):
            return False

    @contextmanager
    def session(self) -> Iterator[imaplib.IMAP4]:
        """A signed-in client, with the mailbox open for writing."""
        client = imaplib.IMAP4("127.0.0.1", self.port, 10)
        try:
            client.authenticate("PLAIN", lambda _: f"\0{USER}\0{PASSWORD}".encode())
            client.select()
            yield client
        finally:
            client.shutdown()

    def put(self, *mails: bytes) -> None:
        """Mails arrive."""
        with self.session() as client:
            for mail in mails:
                answer = client.append("INBOX", "", None, mail)
                assert answer[0] == "OK", answer

    def number_anew(self) -> None:
        """Give the mailbox another UIDVALIDITY and its mails other UIDs, as one has that was restored."""
        self.stop()
        folder = self.folder / "mail"
        for each in folder.glob("dovecot*"):
            each.unlink()
        list_ = folder / "dovecot-uidlist"
        list_.write_text("3 V4000000000 N500\n")
        if os.geteuid() == 0:
            os.chown(list_, _NOBODY, _NOGROUP)
        self.start()


@contextmanager
def serving(certificate: Path | None = None) -> Iterator[Dovecot]:
    """A running server in a folder of its own, where also an unprivileged user gets to."""
    folder = Path(tempfile.mkdtemp(prefix="crm-imap-"))
    try:
        server = Dovecot(folder, certificate)
        if os.geteuid() == 0:
            for each in (folder, *folder.iterdir()):
                os.chown(each, _NOBODY, _NOGROUP)
        with server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)
