"""The certificate that the edge shows where it speaks TLS; files that were renewed are taken without a restart."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import grpc
import structlog

from kale_common.errors import ConfigError

_log = structlog.get_logger()


@dataclass(slots=True)
class EdgeCertificate:
    """A certificate with its chain, and its private key, both PEM.

    Attributes:
        chain: The certificate's file, those of its issuers after it.
        key: The private key's file.
    """

    chain: Path
    key: Path
    _seen: tuple[int, int] = field(default=(0, 0), repr=False)
    _context: ssl.SSLContext | None = field(default=None, repr=False)

    @classmethod
    def of(cls, chain: Path | None, key: Path | None) -> EdgeCertificate | None:
        """The certificate in these files; None if they are not set: the edge then speaks in clear."""
        return None if chain is None or key is None else cls(chain, key)

    def for_http(self) -> ssl.SSLContext:
        """TLS 1.3 for HTTP.

        Raises:
            ConfigError: the files cannot be read, or do not belong together.
        """
        self._context = self._loaded()
        self._seen = self._times()
        context = self._loaded()
        context.sni_callback = self._renew
        return context

    def for_grpc(self) -> grpc.ServerCredentials:
        """TLS for gRPC. Raises ConfigError as `for_http` does."""
        self._loaded()
        seen = self._times()

        def renewed() -> grpc.ServerCertificateConfiguration | None:
            nonlocal seen
            now = self._times()
            if now == seen:
                return None
            seen = now
            return self._configuration()

        # None, which the types do not know, means: as before.
        renewal = cast("Callable[[], grpc.ServerCertificateConfiguration]", renewed)
        return grpc.dynamic_ssl_server_credentials(self._configuration(), renewal)

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration([(self.key.read_bytes(), self.chain.read_bytes())])

    def _renew(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        """Called at every handshake: shows the newest certificate that can be used."""
        now = self._times()
        if now != self._seen:
            self._seen = now
            try:
                self._context = self._loaded()
            except ConfigError as error:
                _log.error("the renewed certificate is not used", error=str(error))
        if self._context is not None:
            connection.context = self._context

    def _loaded(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        try:
            context.load_cert_chain(self.chain, self.key, password="")
        except (OSError, ssl.SSLError) as error:
            problem = error.strerror or "it is not what it should be"
            raise ConfigError("TLS_CERTIFICATE_FILE", f"{self.chain} with {self.key}: {problem}") from None
        return context

    def _times(self) -> tuple[int, int]:
        """When the files last changed, in nanoseconds; zeros while one is missing."""
        try:
            return self.chain.stat().st_mtime_ns, self.key.stat().st_mtime_ns
        except OSError:
            return (0, 0)
